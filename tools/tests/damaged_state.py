#!/usr/bin/env python3
"""Table files damaged under a running server, and at its start. What is read is right or refused: a client ends with
exit 3 and the file is named, nothing wrong is ever served. A server that RocksDB's own reading of the damage stops
ends with exit 3 and names the file too. With every bit in its place again all content is back.

usage: damaged_state.py [--flips N] [--seed S]
"""

import argparse
import json
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Failure, Server, main, require, run, run_json, scratch

ENTRIES = 4000


def values(numbers):
    """Entries that do not compress: every flipped bit of a data block is a bit of some entry."""
    return {f"user/{number:06d}": f"{numbers.getrandbits(1600):0400x}" for number in range(ENTRIES)}


def flip(table, places):
    content = bytearray(table.read_bytes())
    for place in places:
        content[place] ^= 1 << place % 8
    # In place, as a disk would: the server has the file open.
    with open(table, "r+b") as file:
        file.write(content)


def refused(done, table, where):
    require(done.returncode == 3, f"{where}: exit {done.returncode}: {done.stderr}")
    require(table.name in done.stderr, f"{where}: the file is not named: {done.stderr}")


def serving(work, server, content, table, numbers, flips):
    """- Returns: how many reads were refused, of how many."""
    places = [numbers.randrange(table.stat().st_size // 2) for _ in range(flips)]
    flip(table, places)
    keys = numbers.sample(sorted(content), 200)
    lost = 0
    for key in keys:
        done = run("get", key, server=server, codes=None)
        if done.returncode == 0:
            require(done.stdout == content[key], f"{key} reads {done.stdout[:80]!r}")
        else:
            refused(done, table, f"get {key}")
            lost += 1
    out = work / "out.ndjson"
    done = run("pull", out, server=server, codes=(3, 4))
    require(not out.exists(), "a pull that was refused left a file")
    if done.returncode == 3:
        refused(done, table, "pull")
    put = run("put", "another", "value", "--keyspace", "other", server=server, codes=None)
    if put.returncode == 0:
        require(run("get", "another", "--keyspace", "other", server=server).stdout == "value", "other content is lost")
    flip(table, places)
    if server.process.poll() is not None or put.returncode:
        ended(server, table)
        server.start()
    return lost, len(keys)


def ended(server, table):
    """RocksDB met the damage by itself, compacting: the replica stops for good and says why."""
    code = server.process.wait(30)
    said = server.messages()
    require(code == 3, f"it stopped with exit {code}: {said}")
    require(table.name in said.splitlines()[-1], f"it stopped without naming the file: {said}")


def starting(data, name):
    """Damage that the start meets is exit 3 and names the file."""
    path = next(data.glob(name))
    before = path.read_bytes()
    middle = len(before) // 2
    path.write_bytes(before[:middle] + bytes([before[middle] ^ 4]) + before[middle + 1 :])
    server = Server(data)
    try:
        server.start()
        raise Failure(f"{name}: the server started")
    except Failure as failure:
        require(server.process.returncode == 3, f"{name}: {failure}")
        require(path.name in str(failure), f"{name}: the file is not named: {failure}")
    finally:
        server.kill()
    path.write_bytes(before)


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        content = values(numbers)
        source = work / "source.ndjson"
        source.write_text("".join(json.dumps({"key": k, "value": v}) + "\n" for k, v in content.items()))
        data = work / "data"
        with Server(data) as server:
            root = run_json("push", source, server=server)["root"]
            require(server.stop() == 0, "the server did not stop cleanly")
        with Server(data) as server:
            table = max(data.rglob("*.sst"), key=lambda path: path.stat().st_size)
            lost, read = serving(work, server, content, table, numbers, options.flips)
            require(lost > 0, "no read met the damage: the test looked past it")
            require(server.stop() == 0, "it did not stop well")
        for name in ("wal/log-*", "state/MANIFEST-*", "format"):
            starting(data, name)
        with Server(data) as server:
            run("verify", source, server=server)
            require(run_json("pull", work / "out.ndjson", server=server)["root"] == root, "another root")
            server.stop()
    return f"{lost} of {read} reads refused by the file's name, none wrong; 3 damaged starts named"


if __name__ == "__main__":
    main(law)
