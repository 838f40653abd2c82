"""tools/bench sync_links: a first push beside rsync's, over links from a rack to a satellite.

usage: sync_links.py [LINK…] [--repeats N] [--congestion NAME] [--traces DIR]

In one lab for each link, in turns, to an empty target: `streamdiff push` as it comes, and `rsync -az --zc=zstd` to a daemon. The
time is the whole program's, from its start to its exit. What arrived is compared, file by file, with what was sent.
rsync's sockets have the namespaces' congestion control; ours may choose another one, and the table says which.
"""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import adaptation
from lab import Lab
from lab_bench import Options
from rsync import Rsync
from streamdiff_tools import BINARY, main, require, scratch, trees

# Of rsync's time, at most.
WANTED = {"zones": 0.8, "continent": 0.8, "mobile": 0.8, "satellite": 0.8, "rack": 1.5}
THEIRS = ("-az", "--zc=zstd")


def contents(tree):
    """Digest and mode of every file below, and where links lead."""
    found = {}
    for path in sorted(pathlib.Path(tree).rglob("*")):
        if path.is_symlink():
            told = os.readlink(path)
        elif path.is_file():
            told = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode
        else:
            continue
        found[str(path.relative_to(tree))] = told
    return found


def require_arrived(who, tree, expected):
    got = contents(tree)
    wrong = sorted(name for name in expected.keys() | got.keys() if expected.get(name) != got.get(name))
    require(not wrong, f"{who}: {len(wrong)} of {len(expected)} files are not what was sent, the first: {wrong[:3]}")


class Push:
    """One push. `seconds` of the whole program, `sent` bytes, `congestion` that its socket ended with."""


def ours(lab, work, tree, expected, trace):
    push = Push()
    state, back = work / "state", work / "back"
    server = lab.right.start(
        BINARY, "serve", "--data-dir", state, "--listen", f"{lab.right.address}:0", "--insecure",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        line = server.stdout.readline()
        require(line.startswith("ready listen="), f"the server did not start: {line!r}")
        to = ("--server", line.strip().split("=", 1)[1], "--insecure", "--json")
        started = time.monotonic()
        told = lab.left.run(BINARY, "push", tree, *to, "--trace", trace, timeout=600)
        push.seconds = time.monotonic() - started
        push.sent = json.loads(told)["bytes_sent"]
        # On the server's own host, where it takes a second.
        lab.right.run(BINARY, "pull", back, *to, timeout=600)
        require_arrived("streamdiff", back, expected)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
        server.stdout.close()
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(back, ignore_errors=True)
    with open(trace) as lines:
        push.congestion = [step["congestion"] for step in map(json.loads, lines) if "congestion" in step and step["kind"] == "decision"][-1]
    return push


def theirs(lab, rsync, tree, expected):
    push = Push()
    rsync.clear()
    push.seconds, push.sent = rsync.push(tree, *THEIRS)
    push.congestion = lab.ready["congestion"]
    require_arrived("rsync", rsync.target, expected)
    return push


def measure(link, options, tree, expected):
    """- Returns: pairs of pushes, ours and theirs."""
    flags = adaptation.flags(link) + (["--congestion", options.congestion] if options.congestion else [])
    pairs = []
    with Lab(*flags) as lab, scratch() as work:
        work = pathlib.Path(work)
        rsync = Rsync(work, lab.right.address, lab.right.command, lab.left.command)
        try:
            for number in range(options.repeats):
                trace = pathlib.Path(options.traces or work) / f"sync_links-{link}-{number}.ndjson"
                turns = [lambda: ours(lab, work, tree, expected, trace), lambda: theirs(lab, rsync, tree, expected)]
                if number % 2:
                    pair = [turn() for turn in turns[::-1]][::-1]
                else:
                    pair = [turn() for turn in turns]
                pairs.append(pair)
                told = ", ".join(f"{each.seconds:.2f} s {each.sent} B {each.congestion}" for each in pair)
                print(f"  {link} {number + 1}: ours and rsync's {told}", file=sys.stderr, flush=True)
            lab.sound()
        finally:
            rsync.stop()
    return pairs


def bench():
    parser = Options("sync_links", "link", WANTED)
    parser.add_argument("--congestion", help="in both namespaces (default: what they inherit)")
    parser.add_argument("--traces", help="a directory to keep our traces in")
    options = parser.read()
    _, tree, name = trees()
    expected = contents(tree)
    require(expected, f"nothing to push in {tree}")
    missed = []
    rows = []
    for link in options.chosen or WANTED:
        pairs = measure(link, options, tree, expected)
        ratio = statistics.median(mine.seconds / other.seconds for mine, other in pairs)
        holds = ratio <= WANTED[link]
        if not holds:
            missed.append(f"{link} {ratio:.2f}, wanted {WANTED[link]}")
        row = [link]
        for pushes in zip(*pairs):
            control = "/".join(sorted({each.congestion for each in pushes}))
            row += [f"{statistics.median(each.seconds for each in pushes):.2f}", f"{pushes[-1].sent / 1e6:.2f}", control]
        rows.append(row + [f"{ratio:.2f}", f"{WANTED[link]}", "yes" if holds else "**no**"])
    print(f"{name}, {len(expected)} files, medians of {options.repeats} pairs; rsync {' '.join(THEIRS)}\n")
    print("| link | ours, s | MB sent | congestion control | rsync, s | MB sent | congestion control | ratio | at most | holds |")
    print("|" + "---|" * 10)
    for row in rows:
        print("| " + " | ".join(row) + " |")
    require(not missed, f"slower than wanted: {'; '.join(missed)}")
    return f"{len(rows)} links"


if __name__ == "__main__":
    main(bench)
