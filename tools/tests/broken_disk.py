#!/usr/bin/env python3
"""RocksDB's files and our own on a disk that fails: tools/tests/broken_disk.c makes the n-th call of a kind on
files of a kind fail with EIO or ENOSPC, once or from then on. The server stops serving and says why, or carries on
rightly; nothing acknowledged is missing when it starts again on a healed disk; a sync that failed is never tried
again; clients are told the reason.

usage: broken_disk.py [--rounds N] [--seed S]
"""

import argparse
import errno
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from broken_disk_shim import shim
from streamdiff_tools import Failure, Server, main, ndjson, require, run, scratch

# Which call, on which files, and how many of them may succeed before at most.
TABLE = [
    ("fdatasync", "/wal/log-", 9), ("write", "/wal/log-", 9), ("fsync", "/wal", 3), ("rename", "/wal/log-", 1),
    ("open", "/wal/", 4), ("fdatasync", "/wal/filling-", 1), ("write", "/wal/filling-", 9),
    ("fdatasync", ".sst", 1), ("write", ".sst", 2), ("open", ".sst", 2), ("write", "/state/MANIFEST", 4),
    ("fdatasync", "/state/MANIFEST", 4), ("open", "/state/MANIFEST", 2), ("rename", "/state/CURRENT", 2),
    ("fsync", "/state", 4), ("write", "/format", 1), ("rename", "/format", 1),
]  # fmt: skip
WORDS = {errno.EIO: ("Input/output error", "IO error"), errno.ENOSPC: ("No space left", "no space", "noSpace")}


def syncs_are_final(log, where):
    """After a sync that failed, no other of the same file."""
    failed = set()
    for line in log.read_text().splitlines() if log.exists() else []:
        outcome, call, path = line.split(" ", 2)
        if call in ("fdatasync", "fsync"):
            require(path not in failed or os.path.isdir(path), f"{where}: a failed sync was tried again: {path}")
            if outcome == "failed":
                failed.add(path)


class Case:
    def __init__(self, work, library, source, call, path, after, code, times):
        self.where = f"{call} of {path} after {after} with {errno.errorcode[code]}, times {times or 'all'}"
        self.data, self.log = work / "data", work / "calls"
        self.source, self.code = source, code
        self.acknowledged = {}
        self.pushed = False
        self.environment = {
            "LD_PRELOAD": library, "BREAK_CALL": call, "BREAK_PATH": path, "BREAK_AFTER": after, "BREAK_ERRNO": code,
            "BREAK_TIMES": times, "BREAK_LOG": self.log,
        }  # fmt: skip

    def told(self, done):
        """A client that failed was told why, or found nobody."""
        said = done.stderr
        reason = any(word in said for word in (*WORDS[self.code], "stopped serving"))
        gone = any(word in said for word in ("refused", "connection", "unreachable", "going down"))
        require(done.returncode in (4, 5) and (reason or gone), f"{self.where}: exit {done.returncode}: {said}")

    def work(self, server):
        for number in range(6):
            key, value = f"key-{number}", f"value {number} " * 50
            done = run("put", key, value, "--keyspace", "single", server=server, codes=None)
            if done.returncode:
                return self.told(done)
            self.acknowledged[key] = value
        done = run("push", self.source, server=server, codes=None)
        if done.returncode:
            return self.told(done)
        self.pushed = True

    def law(self):
        """- Returns: whether the server failed."""
        server = Server(self.data, environment=self.environment)
        try:
            server.start()
        except Failure as failure:
            code = server.process.returncode
            said = str(failure)
            require(code == 1, f"{self.where}: at the start: exit {code}: {said}")
            require(any(word in said for word in WORDS[self.code]), f"{self.where}: the reason is not told: {said}")
        else:
            self.work(server)
            if server.process.poll() is None and len(self.acknowledged) == 6 and self.pushed:
                code = server.stop()
            else:
                try:
                    code = server.process.wait(30)
                except subprocess.TimeoutExpired:
                    raise Failure(f"{self.where}: it failed, and goes on") from None
            said = server.messages()
            require(code in (0, 1), f"{self.where}: exit {code}: {said}")
            if code == 1:
                require(any(word in said for word in WORDS[self.code]), f"{self.where}: the reason is not told: {said}")
        server.kill()
        syncs_are_final(self.log, self.where)
        # A start that did not get far leaves no data directory yet.
        done = run("check", "--data-dir", self.data, codes=(0, 1) if not self.acknowledged else (0,))
        require(done.returncode == 0 or "format" in done.stderr or "is empty" in done.stderr, f"{self.where}: check: {done.stdout}{done.stderr}")
        with Server(self.data) as healed:
            for key, value in self.acknowledged.items():
                got = run("get", key, "--keyspace", "single", server=healed, codes=None)
                require(got.stdout == value, f"{self.where}: {key} was acknowledged and reads {got.stdout!r} {got.stderr}")
            if self.pushed:
                run("verify", self.source, server=healed)
            run("put", "after", "it", server=healed)
            require(healed.stop() == 0, f"{self.where}: the healed server did not stop cleanly")
        return code == 1


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=1, help="of the whole table")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    numbers = random.Random(options.seed)
    cases = failed = hit = 0
    with scratch() as work:
        work = pathlib.Path(work)
        library = shim(work)
        source = work / "source.ndjson"
        ndjson(source, 500, options.seed)
        for round in range(options.rounds):
            for place_in_table, (call, path, most) in enumerate(TABLE):
                with scratch() as place:
                    # Half of the first round's faults meet the first call: while the server starts.
                    after = 0 if round == 0 and place_in_table % 2 == 0 else numbers.randint(0, most)
                    case = Case(
                        pathlib.Path(place), library, source, call, path, after,
                        numbers.choice([errno.EIO, errno.ENOSPC]), numbers.choice([0, 1]))
                    failed += case.law()
                    hit += case.log.exists() and "failed" in case.log.read_text()
                cases += 1
    require(hit >= cases // 2, f"only {hit} of {cases} faults were met: the table is stale")
    return f"{cases} cases, {hit} faults met, {failed} servers stopped"


if __name__ == "__main__":
    main(law)
