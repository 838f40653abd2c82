"""tools/bench adapt_cost: what the controller takes of a loopback session's processor time, of client and server.

usage: adapt_cost.py [--seconds S] [--repeats N] [--kind json|libraries]

Text is pushed over loopback with the defaults; `perf` samples what runs meanwhile. Counted are the controller's own
functions and what the kernel does for TCP_INFO, and, from the session's trace, the time that samples of other levels
took to encode. That is put beside all the time of the two processes.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from adaptation import Run, size_for, source
from streamdiff_tools import BINARY, main, require, scratch

# Of the issue: less than one percent.
WANTED = 0.01
# Types of Core/Adaptation and Service/Adaptation as they stand in mangled names, and the kernel's functions for TCP_INFO.
OURS = re.compile(
    r"SenderAdaptation|TransferController|LinkEstimate|LinkSample|EncodingChoice|CodecProfile|ProbeSchedule|"
    r"NetworkRate|FlightChoice|ChunkChoice|CongestionRule|ModelPolicy|WindowedExtremum|SendGovernor|Governor|"
    r"AdaptationBounds|AdaptationSettings|AdaptationReport|SessionTuning|ServerTuning|tcp_get_info|tcp_getsockopt")


def running():
    """Of client and server."""
    def is_ours(path):
        try:
            return (path / "exe").samefile(BINARY)
        except OSError:
            return False

    return [path.name for path in pathlib.Path("/proc").glob("[0-9]*") if is_ours(path)]


def perf_shares(data):
    """- Returns: the controller's part of the samples of the program."""
    shown = subprocess.run(
        ["perf", "report", "-i", data, "--no-demangle", "--stdio", "-g", "none",
         "--sort", "symbol", "--percentage", "relative", "--field-separator", "\t"],
        capture_output=True, text=True, check=True).stdout
    total, ours, named = 0.0, 0.0, []
    for line in shown.splitlines():
        fields = line.strip().split("\t")
        if line.startswith("#") or len(fields) < 2:
            continue
        share = float(fields[0].strip().rstrip("%")) / 100
        total += share
        if OURS.search(fields[1]):
            ours += share
            named.append((share, fields[1].strip()))
    require(total > 0.5, f"perf saw nothing of the program: {shown[:500]}")
    return ours / total, sorted(named, reverse=True)


def once(kind, data, seconds):
    with scratch() as work:
        record = pathlib.Path(work) / "perf.data"

        def sampled(*_):
            subprocess.run(
                ["perf", "record", "-q", "-p", ",".join(running()), "-F", "1999", "-o", record, "--", "sleep", str(seconds - 1)],
                check=True, capture_output=True)

        run = Run(None, work, kind, data, [], seconds, during=sampled)
        share, named = perf_shares(record)
        time = run.last["time_ns"] / 1e9
        probes = sum(probe[3] for step in run.steps for probe in step.get("probes", [])) / 1e9
        return share, probes / run.processor, named, len(run.steps) / time


def bench():
    parser = argparse.ArgumentParser(prog="tools/bench adapt_cost")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kind", default="json", choices=("json", "libraries", "random"))
    options = parser.parse_args()
    data = source(options.kind, size_for("loopback", options.kind, options.seconds + 2))
    results = [once(options.kind, data, options.seconds) for _ in range(options.repeats)]
    own = statistics.median(share for share, _, _, _ in results)
    probes = statistics.median(share for _, share, _, _ in results)
    print(f"controller {own:.2%}, samples of other levels {probes:.2%}, together {own + probes:.2%} "
          f"of the processor time of client and server (wanted < {WANTED:.0%}); {results[-1][3]:.0f} looks a second")
    for share, name in results[-1][2][:6]:
        print(f"  {share:.3%} {name}")
    require(own + probes < WANTED, "more than wanted")


if __name__ == "__main__":
    main(bench)
