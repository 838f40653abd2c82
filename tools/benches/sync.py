"""tools/bench sync: first and second push beside rsync's, in one run, with medians of pairs.

Both programs read every byte of the source (rsync is given --checksum: without it, it would compare sizes
and times only), both have their data on the same disk, both compress, the order alternates. Ours
acknowledges after fdatasync, which one more push under strace shows; rsync does not sync.
"""

import argparse
import pathlib
import shutil
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from rsync import Rsync
from streamdiff_tools import Server, main, require, run_json, scratch, trees


THEIRS = ("-az", "--delete", "--checksum")


def ours(work, number, old, new):
    """A fresh server: first push, second push. Returns both times (whole process) and reports."""
    data = work / f"ours-{number}"
    with Server(data) as server:
        result = []
        for tree in (old, new):
            started = time.monotonic()
            report = run_json("push", tree, server=server)
            result.append((time.monotonic() - started, report))
        server.stop()
    shutil.rmtree(data)
    return result


def synced(work, tree):
    """How many fdatasync calls a push of `tree` made in the server, from strace."""
    trace = work / "strace.txt"
    with Server(work / "traced", prefix=["strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", str(trace)]) as server:
        run_json("push", tree, server=server)
        calls = trace.read_text().count("fdatasync(")
        server.stop()
    return calls


def bench():
    parser = argparse.ArgumentParser(prog="tools/bench sync")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--directory", help="where both data directories go (default: a temporary one)")
    options = parser.parse_args()
    old, new, name = trees()
    with scratch() as work:
        work = pathlib.Path(options.directory or work)
        rsync = Rsync(work)
        rows = {"first": ([], []), "changed": ([], [])}
        sent = {}
        try:
            for number in range(options.runs + 1):  # the first is a warm-up
                def theirs():
                    rsync.clear()
                    first = rsync.push(old, *THEIRS)
                    changed = rsync.push(new, *THEIRS)
                    sent["rsync"] = (first[1], changed[1])
                    return first[0], changed[0]

                def mine():
                    first, changed = ours(work, number, old, new)
                    sent["ours"] = (first[1]["bytes_sent"], changed[1]["bytes_sent"])
                    sent["changed"] = changed[1]["entries_changed"]
                    return first[0], changed[0]

                order = (mine, theirs) if number % 2 else (theirs, mine)
                got = {each.__name__: each() for each in order}
                if number:
                    for position, row in enumerate(("first", "changed")):
                        rows[row][0].append(got["mine"][position])
                        rows[row][1].append(got["theirs"][position])
        finally:
            rsync.stop()
        calls = synced(work, new)
    require(calls > 0, "the push was acknowledged without fdatasync")
    print(f"data: {name}; runs: {options.runs}; entries changed: {sent['changed']}; fdatasync calls in one push: {calls}")
    print(f"{'push':10} {'ours s':>8} {'rsync s':>8} {'ratio':>7} {'wanted':>7} {'ours B':>12} {'rsync B':>12}")
    for position, (row, wanted) in enumerate((("first", 2.0), ("changed", 1.0))):
        mine, theirs = map(statistics.median, rows[row])
        ratio = statistics.median(a / b for a, b in zip(*rows[row]))
        print(f"{row:10} {mine:8.3f} {theirs:8.3f} {ratio:7.2f} {wanted:7.1f} {sent['ours'][position]:12} {sent['rsync'][position]:12}")


if __name__ == "__main__":
    main(bench)
