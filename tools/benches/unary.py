"""tools/bench unary: KeyValue/Put and Get through h2load, beside nghttpd and grpc C++ in the same run.

h2load cannot see trailers, so an answer counts only where its 2xx count, the rise of the server's own
counter of OK answers and, for puts, the rise of the applied index are equal.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from peers import cpp_peer
from streamdiff_tools import Server, free_port, main, require, scratch, status, wait_until


def field(number, content):
    return bytes([number << 3 | 2, len(content)]) + content


def framed(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def h2load(url, body, requests, clients=8, streams=16):
    command = ["h2load", "-n", str(requests), "-c", str(clients), "-m", str(streams), "-t", "1"]
    if body:
        command += ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    done = subprocess.run(command + [url], capture_output=True, text=True, check=True)
    rate = float(re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", done.stdout).group(1))
    succeeded = int(re.search(r"(\d+) 2xx", done.stdout).group(1))
    return rate, succeeded


def counter(server, method):
    """The server's own count of OK answers to `method`."""
    return status(server)["counters"][f"requests_ok_{method.lower()}"]


class Peer:
    def __init__(self, command, address=None):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if address is None:
            address = self.process.stdout.readline().split("listen=", 1)[1].strip()
        self.address = address

    def stop(self):
        self.process.terminate()
        self.process.wait()


def bench():
    parser = argparse.ArgumentParser(prog="tools/bench unary")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    key, value = b"user/000000001", b"v" * 100
    with scratch() as work:
        work = pathlib.Path(work)
        put, get = work / "put", work / "get"
        put.write_bytes(framed(field(2, key) + field(3, value)))
        get.write_bytes(framed(field(2, key)))
        site = work / "site"
        site.mkdir()
        (site / "value").write_bytes(value)
        grpc = Peer([str(cpp_peer("keyvalue", ["streamdiff/v1/common.proto", "streamdiff/v1/keyvalue.proto"], services=True))])
        plain_port = free_port()
        plain = Peer(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(site), str(plain_port)], f"127.0.0.1:{plain_port}")
        wait_until(lambda: subprocess.run(["nghttp", f"http://{plain.address}/value"], capture_output=True).stdout == value, 10, "nghttpd")
        rates = {}
        try:
            with Server(work / "data") as server:
                for _ in range(options.runs):
                    for method, body in (("Put", put), ("Get", get)):
                        path = f"/streamdiff.v1.KeyValue/{method}"
                        before, counted = status(server)["applied"], counter(server, method)
                        rate, succeeded = h2load(f"http://{server.address}{path}", body, options.requests)
                        rise, answered = status(server)["applied"] - before, counter(server, method) - counted
                        require(succeeded == options.requests, f"{method}: {succeeded} of {options.requests} were 2xx")
                        require(answered == succeeded, f"{method}: {answered} counted OK, {succeeded} 2xx")
                        require(method == "Get" or rise == succeeded, f"applied index rose by {rise}, {succeeded} 2xx")
                        rates.setdefault(("streamdiff", method), []).append(rate)
                        rates.setdefault(("grpc C++ (map)", method), []).append(
                            h2load(f"http://{grpc.address}{path}", body, options.requests)[0])
                    rates.setdefault(("nghttpd (file)", "Get"), []).append(
                        h2load(f"http://{plain.address}/value", None, options.requests)[0])
                server.stop()
        finally:
            grpc.stop()
            plain.stop()
    print(f"{options.requests} requests, h2load -c 8 -m 16, {options.runs} runs, medians, requests/s; 2xx = own OK counter = applied")
    for (name, method), values in sorted(rates.items()):
        print(f"{name:16} {method:4} {statistics.median(values):10.0f}   ({min(values):.0f} to {max(values):.0f})")
    ratio = statistics.median(rates["streamdiff", "Get"]) / statistics.median(rates["grpc C++ (map)", "Get"])
    print(f"Get beside grpc C++: {ratio:.2f} (wanted: 0.8, and 60 000/s)")


if __name__ == "__main__":
    main(bench)
