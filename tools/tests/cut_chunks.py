#!/usr/bin/env python3
"""Every connection is cut before a chunk of the usual size gets through: chunks become smaller until some do, so that a
push and a pull end well, and what was decided says why.

usage: cut_chunks.py [--entries N] [--bytes N] [--seed S]
"""

import argparse
import base64
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cutting_proxy import CuttingProxy
from streamdiff_tools import Server, keyspace, main, require, run_json, scratch


class Through:
    """The proxy's address where a server is asked for."""

    def __init__(self, proxy):
        self.address = proxy.address


def chunk_limits(trace):
    """What a chunk might be at most, as it changed."""
    limits = []
    for line in map(json.loads, trace.read_text().splitlines()):
        if line["kind"] == "settings" and limits[-1:] != [line["chunk-max"]]:
            limits.append(line["chunk-max"])
    return limits


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--entries", type=int, default=150)
    parser.add_argument("--bytes", type=int, default=12_000, help="after which each connection is cut, either way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    values = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        source, copy, trace = work / "source.ndjson", work / "copy.ndjson", work / "trace.ndjson"
        with open(source, "w") as out:
            for number in range(options.entries):
                value = base64.b64encode(values.randbytes(600)).decode()
                out.write(json.dumps({"key": f"user/{number:06d}", "value": value}) + "\n")
        with Server(work / "data", "--trace", str(work / "traces")) as server:
            proxy = CuttingProxy(server.address, options.seed, sys.maxsize, options.bytes, options.bytes, options.bytes)
            pushed = run_json("push", source, "--trace", trace, server=Through(proxy))
            cuts = proxy.cuts
            require(keyspace(server)["root"] == pushed["root"], "the server has another root")
            limits = chunk_limits(trace)
            require(limits[0] == "64KiB" and "8KiB" in limits, f"chunks of a push were at most {limits}")
            pulled = run_json("pull", copy, server=Through(proxy))
            require(pulled["root"] == pushed["root"], "what was pulled has another root")
            require(copy.read_text().count("\n") == options.entries, "what was pulled is not whole")
            proxy.close()
            require(server.stop() == 0, "the server did not stop cleanly")
        wishes = {limit for path in (work / "traces").iterdir() for limit in chunk_limits(path)}
        require("8KiB" in wishes, f"chunks of a pull were at most {wishes}")
        run_json("check", "--trace", trace)
        for path in (work / "traces").iterdir():
            if '"decision"' in path.read_text():
                run_json("check", "--trace", path)
    return f"{cuts} cuts of a push and {proxy.cuts - cuts} of a pull after {options.bytes} bytes each; chunks {list(dict.fromkeys(limits))}"


if __name__ == "__main__":
    main(law)
