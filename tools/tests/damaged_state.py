#!/usr/bin/env python3
"""Table files damaged under a running server, and at its start. What is read is right or refused: a client ends with
exit 3 and the file is named, nothing wrong is ever served. A server that RocksDB's own reading of the damage stops
ends with exit 3 and names the file too. With every bit in its place again all content is back.

Files of the state that are missing at a start, of which the log no longer has all: each start ends with exit 3, names
the file and changes nothing; `check` says the same; with the file put back all content is back. And first
starts that are killed while they make a state, wherever that is: the next start makes it.

usage: damaged_state.py [--flips N] [--seed S]
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Failure, Server, main, require, run, run_json, scratch

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


def long_values(path, numbers):
    """More than the log keeps: what a state without it would lack."""
    with open(path, "w") as out:
        for number in range(900):
            out.write(json.dumps({"key": f"long/{number:04d}", "value": f"{numbers.getrandbits(800_000):0200000x}"}) + "\n")


def files(directory):
    return {path.name: path.stat().st_size for path in directory.iterdir()}


def missing(work, numbers):
    """- Returns: how many kinds of files were taken away."""
    source = work / "long.ndjson"
    long_values(source, numbers)
    data, aside = work / "whole", work / "aside"
    with Server(data) as server:
        root = run_json("push", source, server=server)["root"]
        require(server.stop() == 0, "the server did not stop cleanly")
    log = run_json("check", "--data-dir", data)["log"]
    require(log["first"] > 1, f"the log still has everything: {log}")
    kinds = ("state/CURRENT", "state/MANIFEST-*", "state/*.sst", "state")
    for kind in kinds:
        path = next(data.glob(kind))
        path.rename(aside)
        before = files(path.parent)
        for _ in range(2):
            server = Server(data)
            try:
                server.start()
                raise Failure(f"{kind}: the server started")
            except Failure as failure:
                require(server.process.returncode == 3, f"{kind}: {failure}")
                require(f"{path}: this " in str(failure).strip().splitlines()[-1], f"{kind} is not named: {failure}")
            finally:
                server.kill()
            require(files(path.parent) == before, f"{kind}: a refused start changed {before} to {files(path.parent)}")
            found = run("check", "--data-dir", data, codes=(3,)).stdout
            require(path.name in found or kind == "state", f"{kind}: check says {found}")
        aside.rename(path)
        run("check", "--data-dir", data)
    with Server(data) as server:
        run("verify", source, server=server)
        require(run_json("pull", work / "long.out", server=server)["root"] == root, "another root")
        require(server.stop() == 0, "it did not stop well")
    return len(kinds)


def cut_births(work, numbers, count=30):
    """- Returns: how many different sets of files of a state were left behind."""
    left = set()
    for number in range(count):
        data = work / f"born-{number}"
        process = subprocess.Popen(
            [str(BINARY), "serve", "--data-dir", str(data), "--listen", "127.0.0.1:0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(numbers.uniform(0.005, 0.09))
        process.kill()
        process.wait()
        state = data / "state"
        left.add(frozenset(path.name for path in state.iterdir()) if state.exists() else None)
        with Server(data) as server:
            run("put", "k", "v", server=server)
            require(server.stop() == 0, f"a start after a first one that left {left}")
        run("check", "--data-dir", data)
    return len(left)


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
        gone = missing(work, numbers)
        left = cut_births(work, numbers)
    return (
        f"{lost} of {read} reads refused by the file's name, none wrong; 3 damaged and {gone} incomplete starts named; "
        f"first starts cut in {left} places")


if __name__ == "__main__":
    main(law)
