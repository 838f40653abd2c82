"""A proxy flips one bit of what a pushing client sends: the session ends (DATA_LOSS, or the connection breaks where
HTTP/2's own bytes were hit), the client tries again and finishes, and the server holds exactly the source.

usage: flipped_wire.py [--flips N] [--seed S]
"""

import argparse
import pathlib
import random
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, keyspace, main, ndjson, require, run_json, scratch, status


class Proxy:
    """Forwards to `target`; of the first connection, flips the bit at byte `offset` on the way to the server."""

    def __init__(self, target, offset, bit):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.offset, self.bit = offset, bit
        self.flipped = False
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(self.target)
            threading.Thread(target=self.forward, args=(client, server, not self.flipped), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, False), daemon=True).start()

    def forward(self, source, destination, harm):
        seen = 0
        try:
            while data := source.recv(65536):
                if harm and not self.flipped and seen <= self.offset < seen + len(data):
                    data = bytearray(data)
                    data[self.offset - seen] ^= 1 << self.bit
                    self.flipped = True
                seen += len(data)
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            for each in (source, destination):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.listener.close()


def failed_calls(server):
    """Calls that did not end with OK. The one that asks is counted when it is over."""
    counters = status(server)["counters"]
    return counters["requests"] - counters["requests_ok"]


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    retried = 0
    with scratch() as work:
        work = pathlib.Path(work)
        source = work / "source.ndjson"
        ndjson(source, 20_000, options.seed)
        with Server(work / "data") as server:
            pid = server.pid
            whole = run_json("push", source, "--keyspace", "whole", server=server)
            for flip in range(options.flips):
                offset = moments.randrange(400, int(whole["bytes_sent"] * 0.95))
                proxy = Proxy(server.address, offset, moments.randrange(8))

                class Through:
                    address = proxy.address

                name = f"flip-{flip}"
                failed = failed_calls(server)
                report = run_json("push", source, "--keyspace", name, server=Through)
                require(proxy.flipped, "the proxy flipped nothing")
                require(report["root"] == whole["root"], f"flip at {offset}: pushed root {report['root']}")
                require(keyspace(server, name)["root"] == whole["root"], f"flip at {offset}: the server's root differs")
                retried += proxy.connections > 1 or failed_calls(server) > failed
                proxy.close()
            require(server.process.poll() is None and server.pid == pid, "the server did not live through it")
            server.stop()
    require(retried > 0, "no flip made the client try again")
    return f"{options.flips} flips, {retried} of them made the client try again"


if __name__ == "__main__":
    main(law)
