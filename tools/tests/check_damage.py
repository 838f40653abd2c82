#!/usr/bin/env python3
"""`streamdiff check` on a real data directory of several log segments and table files: a directory that was
killed is sound, nothing in it is changed, and one flipped bit anywhere is named with its file, or is shown to be
without meaning: everything served from it is then right, root and content. Of no meaning are RocksDB's diary
(LOG*), its record of options (OPTIONS-*), its IDENTITY, filters, which RocksDB does without when damaged, and spare
segments of the log, which hold nothing: a damaged one is a note.

usage: check_damage.py [--flips N] [--seed S]
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, keyspace, main, require, run, run_json, scratch

MEANINGLESS = ("LOG", "OPTIONS-", "IDENTITY", "spare-")


def check(directory, codes=(0, 3)):
    done = run("check", "--data-dir", directory, "--json", codes=codes, timeout=60)
    return done.returncode, json.loads(done.stdout)


def image(directory):
    """Every name with content, size and times: what a check must leave as it is."""
    found = {}
    for path in sorted(directory.rglob("*")):
        state = path.stat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        found[str(path)] = (content, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return found


def fill(work, data, numbers):
    """Pushes and restarts: table files on two levels, two log segments, and a log that the state lacks in part."""
    for turn in range(7):
        source = work / "source.ndjson"
        keys = numbers.sample(range(9000), 6000)
        with open(source, "w") as out:
            for key in keys:
                value = f"{numbers.getrandbits(160):040x}" * numbers.randint(1, 12)
                out.write(json.dumps({"key": f"user/{key:07d}", "value": value}) + "\n")
        with Server(data) as server:
            run("push", source, "--delete-anyway", "--force", server=server)
            run("put", f"turn-{turn}", "a value", "--keyspace", "single", server=server)
            if turn == 6:
                root = keyspace(server)["root"]
                server.kill()
            else:
                require(server.stop() == 0, "the server did not stop cleanly")
    return source, root


def places(path, count, numbers):
    size = path.stat().st_size
    if path.name in ("format", "CURRENT"):
        return list(range(size))
    if path.name.startswith("MANIFEST"):
        return sorted({*range(max(0, size - 20), size), *(numbers.randrange(size) for _ in range(count))})
    if path.suffix == ".sst":
        tail = [size - 1 - numbers.randrange(min(size, 20_000)) for _ in range(count)]
        footer = numbers.sample(range(size - 53, size), min(53, count))
        return [numbers.randrange(size) for _ in range(count)] + tail + footer
    if path.parent.name == "wal":
        used = len(path.read_bytes().rstrip(b"\0")) or size
        return [numbers.randrange(used) for _ in range(max(2, count // 3))] + [numbers.randrange(size), size - 1]
    return [numbers.randrange(size) for _ in range(2)] if size else []


def flip(path, offset, bit):
    with open(path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, offset)[0]
        os.pwrite(file.fileno(), bytes([byte ^ bit]), offset)


def prove_meaningless(work, data, source, root, where):
    """What is served from a directory that passes for sound is right, every value of it."""
    copy = work / "copy"
    shutil.copytree(data, copy)
    with Server(copy) as server:
        require(keyspace(server)["root"] == root, f"{where}: check says sound, and the root differs")
        run("verify", source, server=server)
        require(run("get", "absent", server=server, codes=(1,)).returncode == 1, f"{where}: an absent key is found")
        server.stop()
    shutil.rmtree(copy)


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=8, help="in each region of each file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        data = work / "data"
        source, root = fill(work, data, numbers)
        before = image(data)
        code, report = check(data)
        require(code == 0 and report["sound"], f"a killed directory is called damaged: {report['damages']}")
        require(image(data) == before, "check changed the directory")
        tables = [path for path in data.rglob("*.sst")]
        require(len(tables) > 1 and report["log"]["segments"] > 1, f"too little to look at: {report}")

        named, meaningless = 0, {}
        for path in sorted(path for path in data.rglob("*") if path.is_file()):
            for offset in places(path, options.flips, numbers):
                bit = 1 << numbers.randrange(8)
                where = f"seed {options.seed}, {path.relative_to(data)} at {offset} of {path.stat().st_size}, bit {bit}"
                flip(path, offset, bit)
                if path.name == "format":
                    # What it names may be a newer format, which is refused and not called damage.
                    said = run("check", "--data-dir", data, codes=(3, 5))
                    require(str(path) in said.stdout + said.stderr, f"{where}: the file is not named: {said}")
                    named += 1
                    flip(path, offset, bit)
                    continue
                code, report = check(data)
                if code == 3:
                    named += 1
                    words = [f"{each['path']} {each['detail']}" for each in report["damages"]]
                    require(any(path.name in each for each in words), f"{where}: the file is not named: {words}")
                else:
                    kind = next((each for each in MEANINGLESS if path.name.startswith(each)), path.suffix)
                    require(kind in (*MEANINGLESS, ".sst"), f"{where}: not found")
                    meaningless[kind] = meaningless.get(kind, 0) + 1
                    if meaningless[kind] <= options.flips:
                        prove_meaningless(work, data, source, root, where)
                flip(path, offset, bit)
        code, report = check(data)
        require(code == 0, f"with every bit in its place: {report['damages']}")
    return f"{named} flips named, without meaning and proven so: {meaningless}"


if __name__ == "__main__":
    main(law)
