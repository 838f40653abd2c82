"""tools/bench sharing: a transfer and others on one link: a ping beside it, another transfer, a flow of another kind.

usage: sharing.py [PART…] [--repeats N] [--out FILE] [--traces DIR]     PART: queue, fair, cubic

queue   5 ms and 300 Mbit/s behind a drop-tail queue of 200 ms: a ping beside a session of `model`, after it has settled,
        takes at most twice the round trip and 5 ms, in the median and in 95 of 100.
fair    two sessions of `model` on 20 ms and 100 Mbit/s: Jain's index of what they bring through in 30 s.
cubic   one beside a flow of iperf3 with cubic, the queue 1.5 times what is on the way: each has at least a quarter of the
        link over 30 s.
Nothing is counted before 4 s. One JSON line a run goes to the file, and a run that is in it is not made again.
"""

import pathlib
import shutil
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import adaptation
from lab import Lab
from lab_bench import Options
from linklab import iperf
from sessions import TEXT, Records, begun, bins, ended, fill, goodput
from streamdiff_tools import Failure, cache_directory, main, require, scratch

SETTLE = 4.0
KINDS = ("random", "text")

# The part's link, and how long is measured.
QUEUE_LINK = ("--rtt", "5ms", "--rate", "300mbit", "--queue", "7500KB")
QUEUE_RATE, QUEUE_RTT, QUEUE_SECONDS = 37.5e6, 5.0, 12.0
FAIR_LINK = ("--rtt", "20ms", "--rate", "100mbit")
CUBIC_LINK = ("--rtt", "20ms", "--rate", "100mbit", "--queue", "375KB")
FAIR_RATE, SECONDS = 12.5e6, 30.0

MOST_MS = 2 * QUEUE_RTT + 5
LEAST_JAIN, LEAST_SHARE = 0.95, 0.25


def most(kind, rate):
    """Plain bytes a second that no session exceeds."""
    return TEXT if kind == "text" else rate


def jain(figures):
    return sum(figures) ** 2 / (len(figures) * sum(each * each for each in figures))


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Bench:
    def __init__(self, options):
        self.options = options
        self.records = Records(options.out)
        self.traces = pathlib.Path(options.traces)
        self.traces.mkdir(parents=True, exist_ok=True)

    def keep(self, key, works, **figures):
        for place, work in enumerate(works):
            shutil.copyfile(work / "trace", self.traces / f"sharing-{'-'.join(map(str, key))}-{place}.ndjson")
        record = self.records.keep(key, **figures)
        told = ", ".join(f"{name} {value}" for name, value in figures.items())
        print(f"  {' '.join(map(str, key))}: {told}", file=sys.stderr, flush=True)
        return record

    def queue(self, kind, number):
        key = ["queue", kind, number]
        if record := self.records.known(key):
            return record
        end = SETTLE + QUEUE_SECONDS
        trips = []

        def during(_, trace):
            began = begun(trace)
            time.sleep(SETTLE)
            trips.extend(lab.left.ping(lab.right, count=int(QUEUE_SECONDS / 0.1) - 1, interval=0.1))
            return began

        with scratch(directory=cache_directory()) as work:
            work = pathlib.Path(work)
            fill(work / "data", kind, most(kind, QUEUE_RATE) * (end + 1))
            with Lab(*QUEUE_LINK, "--seed", str(number + 1)) as lab:
                run = adaptation.Run(lab, work, None, work / "data", [], end, during)
                link = lab.sound()["up"]
            require(len(trips) >= 0.9 * QUEUE_SECONDS / 0.1, f"of the pings only {len(trips)} came back")
            return self.keep(
                key, [work], p50=statistics.median(trips), p95=quantile(trips, 0.95), most=max(trips),
                goodput=goodput(bins(run, end), SETTLE, end), queue_bytes_most=link["queue_bytes_most"], **ended(run))  # fmt: skip

    def fair(self, kind, number):
        key = ["fair", kind, number]
        if record := self.records.known(key):
            return record
        begins, runs, failures = [None, None], [None, None], []
        # The two read their sources at the same time; should one take longer, the other one must still be there.
        slack = 4.0

        def run(place, work):
            def during(_, trace):
                begins[place] = begun(trace)
                return begins[place]

            try:
                fill(work / "data", kind, most(kind, FAIR_RATE) * (SETTLE + SECONDS + slack + 1))
                ready.wait()
                runs[place] = adaptation.Run(lab, work, None, work / "data", [], SETTLE + SECONDS + slack, during)
            except (Failure, threading.BrokenBarrierError, OSError) as failure:
                failures.append(failure)
                ready.abort()

        with scratch(directory=cache_directory()) as work:
            works = [pathlib.Path(work) / str(place) for place in range(2)]
            ready = threading.Barrier(2)
            with Lab(*FAIR_LINK, "--seed", str(number + 1)) as lab:
                threads = [threading.Thread(target=run, args=each) for each in enumerate(works)]
                for place, thread in enumerate(threads):
                    works[place].mkdir()
                    thread.start()
                for thread in threads:
                    thread.join()
                if failures:
                    raise failures[0]
                lab.sound()
            start = max(begins) + SETTLE
            require(max(begins) - min(begins) < slack, f"one began {max(begins) - min(begins):.1f} s after the other")
            figures = []
            for began, each in zip(begins, runs):
                from_there = start - began
                figures.append(goodput(bins(each, from_there + SECONDS), from_there, from_there + SECONDS))
            reasons = [ended(each) for each in runs]
            return self.keep(key, works, jain=jain(figures), goodputs=figures, sessions=reasons)

    def cubic(self, kind, number):
        key = ["cubic", kind, number]
        if record := self.records.known(key):
            return record
        end = SETTLE + SECONDS
        other = []

        def during(_, trace):
            began = begun(trace)
            other.append(iperf(lab, int(SECONDS), "cubic", omit=int(SETTLE)))
            other.append(time.monotonic() - began)
            return began

        with scratch(directory=cache_directory()) as work:
            work = pathlib.Path(work)
            fill(work / "data", kind, most(kind, FAIR_RATE) * (end + 10))
            with Lab(*CUBIC_LINK, "--seed", str(number + 1)) as lab:
                run = adaptation.Run(lab, work, None, work / "data", [], end + 5, during)
                lab.sound()
            # What plain bytes came to on the wire: this side's share of the link, beside iperf3's payload.
            ratio = sum(step["payload_bytes"] for step in run.steps) / sum(step["plain_bytes"] for step in run.steps)
            mine = goodput(bins(run, end), SETTLE, end)
            return self.keep(
                key, [work], goodput=mine, share=mine * ratio / FAIR_RATE, cubic_share=other[0] / 100, iperf_seconds=other[1],
                reasons=sorted({step["reason"].split(":")[0] for step in run.steps}), **ended(run))  # fmt: skip


def medians(records, name):
    return statistics.median(record[name] for record in records)


def queue_rows(bench, repeats):
    for kind in KINDS:
        records = [bench.queue(kind, number) for number in range(repeats)]
        p50, p95, most_ms = (medians(records, name) for name in ("p50", "p95", "most"))
        figure = f"{p50:.1f} / {p95:.1f} / {most_ms:.1f} ms at {medians(records, 'goodput') / 1e6:.1f} MB/s"
        yield f"ping beside {kind}: median / p95 / most", figure, f"≤ {MOST_MS:.0f} ms", p50 <= MOST_MS and p95 <= MOST_MS


def fair_rows(bench, repeats):
    for kind in KINDS:
        records = [bench.fair(kind, number) for number in range(repeats)]
        index = medians(records, "jain")
        told = "; ".join(" and ".join(f"{each / 1e6:.1f}" for each in record["goodputs"]) for record in records)
        yield f"two sessions, {kind}", f"{index:.3f} ({told} MB/s)", f"≥ {LEAST_JAIN}", index >= LEAST_JAIN


def cubic_rows(bench, repeats):
    records = [bench.cubic("random", number) for number in range(repeats)]
    for name, what in (("share", "a session beside cubic"), ("cubic_share", "cubic beside a session")):
        share = medians(records, name)
        told = ", ".join(f"{100 * record[name]:.0f}" for record in records)
        yield what, f"{100 * share:.0f} % of the link ({told})", f"≥ {100 * LEAST_SHARE:.0f} %", share >= LEAST_SHARE


PARTS = {"queue": queue_rows, "fair": fair_rows, "cubic": cubic_rows}


def bench():
    parser = Options("sharing", "part", PARTS)
    parser.keep("--traces")
    options = parser.read()
    made = Bench(options)
    rows = [row for part in options.chosen or PARTS for row in PARTS[part](made, options.repeats)]
    print("| what | figure | wanted | holds |\n|---|---|---|---|")
    for *told, holds in rows:
        print(f"| {' | '.join(told)} | {'yes' if holds else '**no**'} |")
    missed = sum(not row[-1] for row in rows)
    require(not missed, f"{missed} of {len(rows)} do not hold")
    return f"{len(rows)} hold"


if __name__ == "__main__":
    main(bench)
