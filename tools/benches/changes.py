"""tools/bench changes: a transfer while its link, its data or its machine changes, beside the best fixed setting of each.

usage: changes.py [CHANGE…] [--repeats N] [--out FILE] [--pictures DIR]     CHANGE: rate, loss, rtt, data, core

At a round trip of 20 ms and 100 Mbit/s a session of `model` runs for 60 s; after 20 s something changes, after 40 s it is
as it was. From max(4 s, 10 round trips) after a step on, 12 s after a rise of the round trip, until the next step it must
have 0.85 of what the best of a handful of fixed settings has where the condition holds all the time. Those are screened
with one short run each; the best two run again between the runs of `model`, and only those count.
One JSON line a run goes to the file, and a run that is in it is not made again. A table and a picture of each end it.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import adaptation
from adapt import Fixed
from lab import Lab
from lab_bench import Options
from sessions import BIN, TEXT, Records, begun, bins, ended, fill, goodput
from streamdiff_tools import cache_directory, main, require, scratch
from trace_plot import save

STEP = 20.0  # seconds of each of the three parts
WANTED = 0.85  # of the oracle
# Of codecs a screening looks at the neighbours of the best, from one on that is near.
CODECS = ("none", "-5", "1", "3", "6", "9", "12")
# The processor that a busy machine's other process is pinned to, and stays on; ours may run on any.
TAKEN = 0


class Condition:
    def __init__(self, rtt="20ms", rate="100mbit", loss="0%", kind="text", busy=False, near="3"):
        self.link = ["--rtt", rtt, "--rate", rate, "--loss", loss]
        self.kind, self.busy, self.near = kind, busy, near
        self.most = 12.5e6 if kind == "random" else TEXT


AS_EVER = "as ever"
CONDITIONS = {
    AS_EVER: Condition(),
    "rate": Condition(rate="10mbit", near="9"),
    "loss": Condition(loss="2%"),
    "rtt": Condition(rtt="120ms"),
    "data": Condition(kind="random", near="none"),
    "core": Condition(busy=True, near="1"),
}
TOLD = {
    "rate": "100 → 10 → 100 Mbit/s", "loss": "0 → 2 → 0 %", "rtt": "20 → 120 → 20 ms", "data": "text → random → text",
    "core": f"processor {TAKEN} taken (pinned, nice 0)",
}  # fmt: skip
CHANGES = tuple(TOLD)


def allowance(change, part):
    """Seconds after a step before what it led to counts."""
    return 12.0 if change == "rtt" and part == 1 else 4.0


class Hog:
    """Another process that wants all of one processor."""

    process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        os.sched_setaffinity(self.process.pid, {TAKEN})

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


def reached(counts, start, end, wanted):
    """Seconds from a step to the end of the first two seconds that had `wanted`. `None`: there are none."""
    wide = round(2 / BIN)
    for place in range(round(start / BIN), round(end / BIN) - wide + 1):
        if sum(counts[place : place + wide]) / 2 >= wanted:
            return (place + wide) * BIN - start
    return None


def moments(run, ends):
    """When what was sent before each change of the data had been acknowledged, in seconds. The changes are near `ends`, in
    plain bytes from the start (pieces that are there twice are sent once), where a payload begins or ends to be as long as
    what is in it."""
    found, sent = [], 0
    for step in run.steps:
        if len(found) == len(ends):
            break
        end = ends[len(found)]
        is_noise = step["payload_bytes"] > step["plain_bytes"] / 2
        if step["plain_bytes"] and 0.97 * end < sent < 1.01 * end and is_noise == (len(found) % 2 == 0):
            found.append(sent)
        sent += step["plain_bytes"]
    require(len(found) == len(ends), f"of the data {sent} bytes were sent; it changes at about {ends}, seen at {found}")
    times, total = [], 0
    for step in run.steps:
        total += step["acknowledged_bytes"]
        if len(times) < len(found) and total >= found[len(times)]:
            times.append(step["time_ns"] / 1e9)
    require(len(times) == len(ends), f"{total} bytes arrived; the data changes at {found}")
    return times


class Bench:
    def __init__(self, options):
        self.options = options
        self.records = Records(options.out)
        self.pictures = pathlib.Path(options.pictures)
        self.pictures.mkdir(parents=True, exist_ok=True)

    def transfer(self, work, data, flags, end, conditions, number=0):
        """A session of `end` seconds under conditions that follow each other, `STEP` seconds each but for the last."""
        hog = Hog()

        def enter(condition):
            if condition.busy:
                hog.start()
            else:
                hog.stop()
            return condition.link

        def during(_, trace):
            began = begun(trace)
            for place, condition in enumerate(conditions[1:], 1):
                time.sleep(max(0, began + place * STEP - time.monotonic()))
                lab.set(*enter(condition))
            return began

        try:
            with Lab(*enter(conditions[0]), "--seed", str(number + 1)) as lab:
                run = adaptation.Run(lab, work, None, data, flags, end, during)
                lab.sound()
        finally:
            hog.stop()
        return run

    def fixed(self, name, stage, setting, seconds, number=0):
        """- Returns: goodput of a fixed setting where a condition holds all the time."""
        key = [name, stage, setting.name, number]
        if record := self.records.known(key):
            return record["goodput"]
        condition = CONDITIONS[name]
        end = allowance(name, 1) + seconds
        with scratch(directory=cache_directory()) as work:
            work = pathlib.Path(work)
            fill(work / "data", condition.kind, condition.most * (end + 1))
            run = self.transfer(work, work / "data", setting.flags, end, [condition], number)
        figure = goodput(bins(run, end), allowance(name, 1), end)
        self.records.keep(key, goodput=figure, **ended(run))
        print(f"  {name}: {stage} {setting.name}: {figure / 1e6:.2f} MB/s", file=sys.stderr, flush=True)
        return figure

    def contenders(self, name):
        """The best two fixed settings of the screening."""
        found = {}

        def look(setting):
            found[setting.name] = (self.fixed(name, "screen", setting, 4.0), setting)

        def ranked():
            return [setting for _, setting in sorted(found.values(), key=lambda each: -each[0])]

        best, nearby = None, [CONDITIONS[name].near]
        while nearby:
            for codec in nearby:
                look(Fixed(codec))
            best = ranked()[0].codec
            place = CODECS.index(best)
            nearby = [each for each in CODECS[max(0, place - 1) : place + 2] if Fixed(each).name not in found]
        look(Fixed(best, 16384))
        look(Fixed(best, congestion="cubic"))
        return ranked()[:2]

    def oracle(self, name):
        """Name and goodput of the best fixed setting, by the medians of the runs that count."""
        runs = {}
        for record in self.records.all:
            condition, stage, setting, _ = record["key"]
            if condition == name and stage == "final":
                runs.setdefault(setting, []).append(record["goodput"])
        return max(((setting, statistics.median(values)) for setting, values in runs.items()), key=lambda each: each[1])

    def model(self, change, number):
        key = [change, "model", "", number]
        if self.records.known(key):
            return
        condition, ever = CONDITIONS[change], CONDITIONS[AS_EVER]
        with scratch(directory=cache_directory()) as work:
            work = pathlib.Path(work)
            ends, end = [], 3 * STEP
            if change == "data":
                # Two parts as long as the oracle takes `STEP` for, and enough for the third; a slower one has some more time.
                for size, kind in ((self.oracle(AS_EVER)[1], "text"), (self.oracle(change)[1], "random"), (1.3 * TEXT, "text")):
                    ends.append(fill(work / "data", kind, size * STEP, 1000 * len(ends)) + sum(ends[-1:]))
                run = self.transfer(work, work / "data", [], end + STEP, [ever], number)
                steps = moments(run, ends[:2])
                end = min(steps[1] + STEP, run.last["time_ns"] / 1e9)
            else:
                fill(work / "data", "text", TEXT * (end + 1))
                run = self.transfer(work, work / "data", [], end, [ever, condition, ever], number)
                steps = [STEP, 2 * STEP]
            self.records.keep(key, bins=bins(run, end), steps=steps, **ended(run))
            shutil.copyfile(work / "trace", self.trace(change, number))
        print(f"  {change}: model {number + 1}", file=sys.stderr, flush=True)

    def trace(self, change, number):
        return self.pictures / f"changes-{change}-{number}.ndjson"

    def measure(self):
        """Fixed settings and `model` in turns, so that what the machine does meanwhile befalls them all."""
        contenders = {name: self.contenders(name) for name in (AS_EVER, *self.options.changes)}
        for number in range(self.options.repeats):
            for name, settings in contenders.items():
                for setting in settings:
                    self.fixed(name, "final", setting, STEP - allowance(name, 1), number)
                if name != AS_EVER:
                    self.model(name, number)

    def parts(self, change, number):
        """Of one run of `model`: (start, end, what it had to `reach`) of its three parts."""
        record = self.records.known([change, "model", "", number])
        edges = [0, *record["steps"], len(record["bins"]) * BIN]
        names = [AS_EVER, change, AS_EVER]
        return record, [(edges[part], edges[part + 1], *self.oracle(names[part])) for part in range(3)]

    def rows(self, change):
        """- Returns: a row of the table for each part, and whether it holds."""
        runs = [self.parts(change, number) for number in range(self.options.repeats)]
        for part in range(3):
            figures, waits, ends = [], [], []
            for record, parts in runs:
                start, end, setting, oracle = parts[part]
                settled = start + allowance(change, part)
                require(end - settled >= 4, f"{change}: part {part + 1} was over after {end - start:.1f} s")
                figures.append(goodput(record["bins"], settled, end))
                waits.append(reached(record["bins"], start, end, WANTED * oracle))
            ratio = statistics.median(figures) / oracle
            told = "/".join("never" if wait is None else f"{wait:.1f}" for wait in waits)
            # The beginning is no step, and is told for the one who reads the rest.
            holds = None if part == 0 else ratio >= WANTED
            yield (
                f"{TOLD[change]}, part {part + 1}", f"{oracle / 1e6:.2f} ({setting})", f"{statistics.median(figures) / 1e6:.2f}",
                f"{ratio:.2f}", told, f"{allowance(change, part):.0f}", {None: "", True: "yes", False: "**no**"}[holds],
            )  # fmt: skip

    def picture(self, change, number):
        trace = self.trace(change, number)
        if not trace.exists():
            return
        record, parts = self.parts(change, number)

        def adorn(figure):
            for axis in figure.axes[:5]:
                for step in record["steps"]:
                    axis.axvline(step, color="tab:red", linewidth=1.2)
            for start, end, setting, oracle in parts:
                for share, style in ((1, "-"), (WANTED, ":")):
                    figure.axes[1].hlines(share * oracle / 1e6, start, end, color="tab:red", linestyle=style)

        save(trace, trace.with_suffix(".png"), adorn)


def bench():
    parser = Options("changes", "change", CHANGES)
    parser.keep("--pictures")
    options = parser.read()
    options.changes = options.chosen or CHANGES
    made = Bench(options)
    made.measure()
    missed = 0
    print("| change | oracle, MB/s | model, MB/s | of it | reached after, s | allowed, s | holds |")
    print("|" + "---|" * 7)
    for change in options.changes:
        for row in made.rows(change):
            print("| " + " | ".join(row) + " |")
            missed += "no" in row[-1]
        for number in range(options.repeats):
            made.picture(change, number)
    print(f"\npictures and traces: {made.pictures}")
    require(not missed, f"{missed} of {2 * len(options.changes)} steps are below {WANTED} of the oracle")
    return f"{2 * len(options.changes)} steps, each at least {WANTED} of the oracle"


if __name__ == "__main__":
    main(bench)
