"""1 000 connections that do nothing cost the server at most 64 KiB of anonymous memory each: after the SETTINGS
exchange, after one call each, and after a large put each; and what they cost is given back when they go.

  --connections N    1 000 otherwise
"""

import argparse
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, rss_anon, run, scratch, status, wait_until
from raw_http2 import GET, PUT, Peer, field, message

MOST_KIB = 64


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=1000)
    count = parser.parse_args().connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
    figures = []
    with scratch() as work:
        with Server(pathlib.Path(work) / "data") as server:
            run("put", "k", "v", server=server)
            run("get", "k", server=server)
            base = rss_anon(server.pid)
            peers = []

            def each_costs(what, slack=0):
                def grown():
                    return rss_anon(server.pid) - base - slack

                # What was only passing through goes back within seconds.
                try:
                    wait_until(lambda: grown() <= count * MOST_KIB << 10, 10, what)
                finally:
                    figures.append(f"{what} {grown() / count / 1024:.1f} KiB")
                open_now = status(server)["counters"]["connections_open"]
                require(open_now >= count, f"{what}: only {open_now} connections are open")

            for _ in range(count):
                peers.append(Peer(server))
                peers[-1].settle()
            each_costs("settled")
            for peer in peers:
                answer = peer.until_ended(peer.open(GET, message(field(2, b"k"))))
                require(answer.get("grpc-status") == "0", f"a get: {answer}")
            each_costs("after a get")
            for peer in peers:
                answer = peer.until_ended(peer.open(PUT, message(field(2, b"large") + field(3, bytes(200_000)))))
                require(answer.get("grpc-status") == "0", f"a put: {answer}")
            # The log's and the state's own buffers are no cost of the connections.
            each_costs("after a put of 200 kB", slack=64 << 20)
            require(run("get", "k", server=server, timeout=5).stdout == "v", "no get beside them")
            for peer in peers:
                peer.close()
            wait_until(lambda: status(server)["counters"]["connections_open"] < 5, 20, "the connections to end")
            require(server.stop() == 0, "it did not stop well")
    return f"{count} connections, each: " + ", ".join(figures)


if __name__ == "__main__":
    main(law)
