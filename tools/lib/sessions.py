"""Sessions that are looked at over their time: what they send, when they began, what was acknowledged when. For the benches
in which something changes beside a transfer, or shares its link."""

import json
import os
import pathlib
import threading
import time

import adaptation
from streamdiff_tools import cache_directory, require, trees

BIN = 0.25  # seconds
# Plain bytes a second that no session exceeds: how much there must be to send.
TEXT = 130e6


def text():
    """The files of the newer tree, each content once, one behind the other in one file: pieces that are there twice in a
    file are sent once, and what has been acknowledged would not tell where in the data a session is."""
    made = cache_directory() / "adapt" / "text"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        partial = made.with_name(f"text.part{os.getpid()}")
        seen = set()
        with open(partial, "wb") as out:
            for path in sorted(trees()[1].rglob("*")):
                if path.is_file() and not path.is_symlink() and (content := path.read_bytes()) not in seen:
                    seen.add(content)
                    out.write(content)
        partial.rename(made)
    return made


def fill(directory, kind, size, first=0):
    """Files in `directory`, of which the names ascend from `first` on, of at least `size` bytes of `text` or `random`.
    - Returns: how many bytes."""
    directory.mkdir(exist_ok=True)
    if kind == "text":
        files = [text()]
    else:
        files = sorted(adaptation.source("random", 320 << 20).iterdir(), key=lambda path: int(path.name))
    total = number = 0
    while total < size:
        path = files[number % len(files)]
        os.link(path, directory / f"{first + number:06}")
        total += path.stat().st_size
        number += 1
    return total


def begun(trace, seconds=120):
    """Waits for a session's first moment: a push reads all of its source before. - Returns: that moment."""
    end = time.monotonic() + seconds
    while not (trace.exists() and trace.stat().st_size):
        require(time.monotonic() < end, f"no session began within {seconds} s")
        time.sleep(0.005)
    return time.monotonic()


def bins(run, end):
    """Plain bytes that were acknowledged in each `BIN` of a session's first `end` seconds."""
    last = run.last["time_ns"] / 1e9
    require(last > end - 2 * BIN, f"the transfer was over after {last:.1f} s of {end} s")
    counts = [0] * int(end / BIN)
    for step in run.steps:
        place = int(step["time_ns"] / 1e9 / BIN)
        if place < len(counts):
            counts[place] += step["acknowledged_bytes"]
    return counts


def goodput(counts, start, end):
    """Plain bytes a second between two moments of a session."""
    part = counts[round(start / BIN) : round(end / BIN)]
    require(part, f"nothing was counted between {start:.1f} and {end:.1f} s")
    return sum(part) / (len(part) * BIN)


class Records:
    """One JSON line a run, in a file: what is in it is not measured again."""

    def __init__(self, path):
        self.path, self.lock = pathlib.Path(path), threading.Lock()
        self.all = [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def known(self, key):
        return next((record for record in self.all if record["key"] == key), None)

    def keep(self, key, **figures):
        record = {"key": key, **figures, "load": os.getloadavg()[0]}
        with self.lock:
            self.all.append(record)
            with open(self.path, "a") as out:
                out.write(json.dumps(record) + "\n")
        return record


def ended(run):
    """How a session ended, for its record."""
    return {name: run.last.get(name) for name in ("codec", "level", "chunk", "congestion", "reason")}
