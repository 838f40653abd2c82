"""Transfers over a link of linklab for the benches of the adaptive controller: links, data, one run and its goodput."""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import time

from memory import Sampler
from streamdiff_tools import BINARY, Failure, cache_directory, require, trees

# Name: round trip, rate, loss, and the rate in bytes a second.
LINKS = {
    "loopback": None,
    "rack": ("1ms", "1gbit", "0%", 125e6),
    "metro": ("5ms", "300mbit", "0%", 37.5e6),
    "zones": ("20ms", "100mbit", "0.1%", 12.5e6),
    "continent": ("80ms", "50mbit", "0.5%", 6.25e6),
    "mobile": ("150ms", "5mbit", "2%", 0.625e6),
    "satellite": ("600ms", "10mbit", "1%", 1.25e6),
}
KINDS = ("json", "entries", "libraries", "random")
# Plain over wire, at most, about: how much data a run needs.
RATIOS = {"json": 14, "entries": 5, "libraries": 4.5, "random": 1}
# What a push brings through on two cores, about.
MOST_PLAIN = 160e6


def rtt(link):
    return 0.0001 if LINKS[link] is None else float(LINKS[link][0].removesuffix("ms")) / 1000


def flags(link):
    round_trip, rate, loss, _ = LINKS[link]
    return ["--rtt", round_trip, "--rate", rate, "--loss", loss]


def _copies(work, name, files, size):
    """A directory of hard links to `files`, again and again until they come to `size`."""
    target = work / name
    total = number = 0
    while total < size:
        for index, path in enumerate(files):
            place = target / f"{number}" / f"{index // 500}" / f"{index}-{path.name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, place)
            except OSError:
                shutil.copyfile(path, place)
            total += path.stat().st_size
            if total >= size:
                break
        number += 1
    return target


def source(kind, size):
    """Something to push, of about `size` plain bytes; kept in the cache."""
    work = cache_directory() / "adapt"
    work.mkdir(exist_ok=True)
    size = int(size) // (16 << 20) * (16 << 20) + (16 << 20)
    made = work / f"{kind}-{size >> 20}"
    if made.exists():
        return made
    partial = f"{made.name}.part{os.getpid()}"
    if kind == "entries":
        generator = random.Random(7)
        with open(work / partial, "w") as out:
            while out.tell() < size:
                number = generator.getrandbits(40)
                value = f"{generator.choice('abcdef')}{number % 97} visits {number % 1000} {generator.getrandbits(64):x}"
                out.write(json.dumps({"key": f"user/{number:012}", "value": value}) + "\n")
        path = work / partial
    elif kind == "json":
        files = [path for path in sorted(trees()[1].rglob("*")) if path.is_file() and not path.is_symlink()]
        path = _copies(work, partial, files, size)
    elif kind == "libraries":
        found = [path for path in sorted(pathlib.Path("/usr/lib").rglob("*.so*")) if path.is_file() and not path.is_symlink()]
        path = _copies(work, partial, [each for each in found if each.stat().st_size < 64 << 20], size)
    else:
        path = work / partial
        path.mkdir()
        for number in range(size // (16 << 20)):
            with open(path / str(number), "wb") as out:
                out.write(random.Random(number).randbytes(16 << 20))
    path.rename(made)
    return made


def size_for(link, kind, seconds):
    plain = MOST_PLAIN if LINKS[link] is None else min(MOST_PLAIN, LINKS[link][3] * RATIOS[kind])
    return plain * seconds


class Run:
    """A push through `lab` (or on loopback) to a fresh server, for `seconds` at most. What it came to is in a trace.

    `during` is called with the moment when the push was started and the trace's path; it may return another moment from
    which `seconds` count."""

    def __init__(self, lab, work, kind, data, settings, seconds, during=None):
        work = pathlib.Path(work)
        state, trace = work / "state", work / "trace"
        shutil.rmtree(state, ignore_errors=True)
        trace.unlink(missing_ok=True)
        left = lab.left.command if lab else lambda *command: [str(each) for each in command]
        right = lab.right.command if lab else left
        host = lab.right.address if lab else "127.0.0.1"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        server = subprocess.Popen(
            right(BINARY, "serve", "--data-dir", state, "--listen", f"{host}:0", "--insecure"),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            line = server.stdout.readline()
            require(line.startswith("ready listen="), f"the server did not start: {line!r}")
            address = line.strip().split("=", 1)[1]
            started = time.monotonic()
            push = subprocess.Popen(
                left(BINARY, "push", data, "--server", address, "--insecure", "--json", "--trace", trace, *settings),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            with Sampler(push.pid) as pushing, Sampler(server.pid) as serving:
                try:
                    if during:
                        started = during(started, trace) or started
                    out, said = push.communicate(timeout=max(0.1, seconds + started - time.monotonic()))
                    require(push.returncode == 0, f"push {' '.join(settings)}: exit {push.returncode}: {said}")
                    self.whole = json.loads(out)["seconds"]
                except subprocess.TimeoutExpired:
                    push.terminate()  # a shell may have us ignore SIGINT
                    push.communicate()
                    self.whole = None
            # The peaks of both, in bytes of anonymous memory.
            self.memory = (pushing.peak, serving.peak)
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()
            server.stdout.close()
            shutil.rmtree(state, ignore_errors=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            # Of both, in seconds.
            self.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        with open(trace) as lines:
            self.steps = [step for step in map(json.loads, lines) if step["kind"] == "decision"]

    def goodput(self, start, end=None):
        """Plain bytes a second that were acknowledged between two moments of the session, in seconds."""
        sending = [step for step in self.steps if step["source_wait_ns"] < 45e6]
        require(sending, "nothing was sent")
        last = min(end or 1e9, sending[-1]["time_ns"] / 1e9)
        count = sum(step["acknowledged_bytes"] for step in self.steps if start < step["time_ns"] / 1e9 <= last)
        require(last > start, f"the transfer was over after {last:.1f} s, before it was looked at ({start:.1f} s)")
        return count / (last - start)

    @property
    def last(self):
        return self.steps[-1]
