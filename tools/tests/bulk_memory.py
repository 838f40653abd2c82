"""Bulk in bounded memory: files of 1 MiB, and lines of NDJSON in random key order, are pushed, pushed again, pushed
with 1 % changed, pulled, pulled over the old copy and verified; then all of it changes a few times, four clients push
at once, and the server is killed and replays its log. Neither side's anonymous memory grows with what passes, and the
server's levels off.

usage: bulk_memory.py [--files N] [--lines N] [--rounds N] [--only files|lines] [--limit MIB] [--directory DIR]
       (tools/test: 256 files, 250 000 lines, two rounds, limits that a leak of half the bytes would pass;
       tools/bench fire: --files 4096 --lines 4000000 --rounds 4 --limit 300)
"""

import argparse
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from memory import MIB, change_files, measured, restarted, write_files, write_lines
from streamdiff_tools import Server, main, require, run, scratch

# MiB at the small size. Fixed: RocksDB's two write buffers of 64 MiB and its cache of 64 MiB are most of a server,
# the 64 MiB in which lines are sorted most of a client. By far the most of it is there after the first push.
LIMITS = {"files": {"client": 64, "server": 200}, "lines": {"client": 150, "server": 200}}
# Of a server that takes four pushes at once, at the small size; 100 MiB more at the full one.
AT_ONCE = 300
# What the server's peak may still rise by in rounds that change everything: 256 MiB of files, or lines that take
# about 80 MiB in the state.
LEVEL = 48


class Law:
    def __init__(self, kind, work, options):
        self.kind, self.work, self.options = kind, work, options
        self.source = work / ("tree" if kind == "files" else "lines.ndjson")
        self.copy = work / ("copy" if kind == "files" else "copy.ndjson")
        small = options.limit is None
        self.limits = LIMITS[kind] if small else {"client": options.limit, "server": options.limit}
        self.peaks = {"client": 0, "server": 0}

    def write(self, seed=1):
        if self.kind == "files":
            write_files(self.source, self.options.files, MIB, seed)
        else:
            write_lines(self.source, self.options.lines, seed)

    def change(self):
        if self.kind == "files":
            change_files(self.source, 0.01, seed=2)
        else:
            write_lines(self.source, self.options.lines, every=100)

    def push(self, keyspace=None):
        return "push", self.source, "--keyspace", keyspace or self.kind

    def note(self, name, client, server, started):
        seconds = time.monotonic() - started
        print(f"{self.kind:6} {name:12} client {client / MIB:7.1f} MiB  server {server / MIB:7.1f} MiB {seconds:7.1f} s", flush=True)
        for side, peak in (("client", client), ("server", server)):
            self.peaks[side] = max(self.peaks[side], peak)
            limit = self.limits[side]
            if name in ("four at once", "replay"):
                limit = max(limit + 100, AT_ONCE)
            require(peak <= limit * MIB, f"{self.kind}, {name}: the {side} took {peak / MIB:.1f} MiB; the limit is {limit}")
        return server

    def step(self, name, server, *commands):
        started = time.monotonic()
        return self.note(name, *measured(*commands, server=server), started)

    def run(self, server):
        name = ("--keyspace", self.kind)
        self.write()
        self.step("push", server, self.push())
        self.step("again", server, self.push())
        self.step("pull", server, ("pull", self.copy, *name))
        self.change()
        self.step("push 1 %", server, self.push())
        self.step("pull 1 %", server, ("pull", self.copy, *name))
        self.step("verify", server, ("verify", self.copy, *name))
        remove(self.copy)
        rounds = []
        for number in range(self.options.rounds):
            self.write(seed=10 + number)
            # Of other files other pieces: most entries go and others come.
            rounds.append(self.step(f"round {number + 1}", server, (*self.push(), "--delete-anyway")))
        rise = (max(rounds[-2:]) - rounds[0]) / MIB
        require(rise <= LEVEL, f"{self.kind}: the server's peak rose by {rise:.1f} MiB over {len(rounds)} pushes that changed everything")
        self.step("four at once", server, *(self.push(f"{self.kind}-{number}") for number in range(self.options.at_once)))
        server.kill()
        started = time.monotonic()
        self.note("replay", 0, restarted(server), started)
        run("verify", self.source, "--keyspace", f"{self.kind}-0", server=server)
        return f"{self.kind}: client {self.peaks['client'] / MIB:.0f} MiB, server {self.peaks['server'] / MIB:.0f} MiB"


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=256)
    parser.add_argument("--lines", type=int, default=250_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--only", choices=("files", "lines"))
    parser.add_argument("--limit", type=float, help="MiB, of either side; the small size has limits of its own")
    parser.add_argument("--directory", help="where everything goes (default: a temporary one)")
    options = parser.parse_args()
    results = []
    for kind in [options.only] if options.only else ["files", "lines"]:
        with scratch(directory=options.directory) as work:
            work = pathlib.Path(work)
            with Server(work / "data") as server:
                results.append(Law(kind, work, options).run(server))
                server.stop()
    return "; ".join(results)


if __name__ == "__main__":
    main(law)
