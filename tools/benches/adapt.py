"""tools/bench adapt: the controller beside the best fixed setting, on links from a rack to a satellite.

usage: adapt.py [LINK/KIND…] [--quick] [--out FILE] [--seconds S] [--repeats N]

For each cell fixed settings are screened with one short run each (codec, then chunk and congestion control around the
best), then the best three run again, interleaved with `model` and `threshold`; only those runs count. One JSON line a
run goes to the file, and a run that is in it is not made again: the bench can be stopped and goes on.
Goodput is plain bytes acknowledged a second, after the time to settle of max(4 s, 10 round trips), same for all.
"""

import itertools
import pathlib
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import adaptation
from adapt_picture import save
from adaptation import KINDS, LINKS, Run
from lab import Lab
from lab_bench import Options
from sessions import Records, ended
from streamdiff_tools import main, scratch

CODECS = ("none", "-5", "1", "3", "6", "9", "12")
CHUNKS = (65536, 16384, 4096)
CELLS = [f"{link}/{kind}" for link in LINKS for kind in KINDS]
QUICK = (
    "loopback/json", "rack/json", "rack/random", "metro/libraries", "metro/json", "zones/json", "zones/entries",
    "continent/libraries", "continent/random", "mobile/json", "mobile/entries", "satellite/libraries",
)
# Cells on links of at most so many bytes a second run side by side, so many at a time: the highest levels take about a
# third of the processors' time there.
SLOW, SIDE_BY_SIDE = 1.25e6, 3
# Of the oracle: in the median of the cells, and in the worst.
WANTED, LEAST = 0.95, 0.88
# Anonymous memory, at most: of a client 64 MiB in flight and 64 of codec contexts; a server has the state's besides.
CLIENT, SERVER = 128 << 20, 256 << 20


class Fixed:
    def __init__(self, codec, chunk=65536, congestion="bbr"):
        self.codec, self.chunk, self.congestion = codec, chunk, congestion

    @property
    def name(self):
        return f"{self.codec} {self.chunk >> 10}K {self.congestion}"

    @property
    def flags(self):
        level = ["--codec", "none"] if self.codec == "none" else ["--codec", "zstd", "--level", self.codec, "--level-max", "19"]
        return ["--policy", "fixed", "--chunk", str(self.chunk), *level, "--congestion", self.congestion]


def neighbours(name):
    """Names of the settings one step beside a setting: codec, chunk, congestion control."""
    codec, chunk, congestion = name.split()
    chunks = [f"{each >> 10}K" for each in CHUNKS]

    def beside(ladder, value):
        place = ladder.index(value) if value in ladder else len(ladder)
        return [ladder[each] for each in (place - 1, place + 1) if 0 <= each < len(ladder)]

    yield from (f"{each} {chunk} {congestion}" for each in beside(CODECS, codec))
    yield from (f"{codec} {each} {congestion}" for each in beside(chunks, chunk))
    yield f"{codec} {chunk} {'cubic' if congestion == 'bbr' else 'bbr'}"


class Cell:
    def __init__(self, name, options, records):
        self.link, self.kind = name.split("/")
        self.name, self.options, self.records = name, options, records
        self.settle = max(4.0, 10 * adaptation.rtt(self.link))

    def run(self, stage, setting, flags, seconds, number=0):
        """- Returns: goodput, of this run or of the same one in the file."""
        key = [self.name, stage, setting, number]
        if record := self.records.known(key):
            return record["goodput"]
        total = self.settle + seconds
        data = adaptation.source(self.kind, adaptation.size_for(self.link, self.kind, total + 2))
        with scratch() as work:
            if LINKS[self.link] is None:
                run = Run(None, work, self.kind, data, flags, total)
            else:
                with Lab(*adaptation.flags(self.link)) as lab:
                    run = Run(lab, work, self.kind, data, flags, total)
                    lab.sound()
        # A fast link may bring it all before the time to settle is over.
        end = run.last["time_ns"] / 1e9
        goodput = run.goodput(min(self.settle, end / 3))
        self.records.keep(
            key, goodput=goodput, seconds=end, whole=run.whole, memory=run.memory, processor=run.processor, **ended(run))
        print(f"  {self.name} {stage} {setting}: {goodput / 1e6:.2f} MB/s", file=sys.stderr, flush=True)
        return goodput

    def screen(self, setting):
        return self.run("screen", setting.name, setting.flags, self.options.seconds / 2)

    def oracle(self):
        """The best three fixed settings of the screening, best first."""
        found = {}

        def look(setting):
            found[setting.name] = (self.screen(setting), setting)

        for codec in CODECS:
            look(Fixed(codec))
        best = sorted(found.values(), key=lambda each: -each[0])[:2]
        for (_, setting), chunk in itertools.product(best, CHUNKS[1:]):
            look(Fixed(setting.codec, chunk))
        if LINKS[self.link] is not None:
            for _, setting in best:
                look(Fixed(setting.codec, congestion="cubic"))
        # On the edge of the grid the grid is too small.
        if max(found.values(), key=lambda each: each[0])[1].codec == CODECS[-1]:
            look(Fixed("15"))
        return [setting for _, setting in sorted(found.values(), key=lambda each: -each[0])[:3]]

    def measure(self):
        contenders = [(each.name, each.flags) for each in self.oracle()]
        contenders += [("model", []), ("threshold", ["--policy", "threshold"])]
        results = {name: [] for name, _ in contenders}
        for number in range(self.options.repeats):
            for name, flags in contenders if number % 2 == 0 else contenders[::-1]:
                results[name].append(self.run("final", name, flags, self.options.seconds, number))
        medians = {name: statistics.median(values) for name, values in results.items()}
        best = max(value for name, value in medians.items() if name not in ("model", "threshold"))
        return medians, medians["model"] / best, medians["model"] / medians["threshold"]

    @property
    def is_slow(self):
        return LINKS[self.link] is not None and LINKS[self.link][3] <= SLOW

    def beside(self, best):
        """What the neighbours of the best setting lose against it, as far as they were screened."""
        screened = {record["key"][2]: record["goodput"] for record in self.records.all if record["key"][:2] == [self.name, "screen"]}
        told = [f"{each} {100 * (screened[each] / screened[best] - 1):+.0f} %" for each in neighbours(best) if each in screened]
        return ", ".join(told)


def measure(cells):
    """- Returns: what each cell came to, in their order."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as side_by_side:
        results = {cell.name: cell.measure() for cell in cells if not cell.is_slow}
        slow = [cell for cell in cells if cell.is_slow]
        results |= zip((cell.name for cell in slow), side_by_side.map(Cell.measure, slow))
    return [results[cell.name] for cell in cells]


def bench():
    parser = Options("adapt", "cell", CELLS)
    parser.add_argument("--quick", action="store_true", help="twelve cells that cover every link and every kind of data")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.keep()
    options = parser.read()
    names = options.chosen or (QUICK if options.quick else CELLS)
    records = Records(options.out)
    cells = [Cell(name, options, records) for name in dict.fromkeys(names)]
    rows = []
    print("| cell | best three fixed settings, MB/s | beside the best (screening) | model | of the best | threshold | model to it |")
    print("|---|---|---|---|---|---|---|")
    for cell, (medians, to_oracle, to_threshold) in zip(cells, measure(cells)):
        fixed = sorted(((value, each) for each, value in medians.items() if each not in ("model", "threshold")), reverse=True)
        told = ", ".join(f"{each} {value / 1e6:.2f}" for value, each in fixed)
        print(
            f"| {cell.name} | {told} | {cell.beside(fixed[0][1])} | {medians['model'] / 1e6:.2f} | {to_oracle:.2f} "
            f"| {medians['threshold'] / 1e6:.2f} | {to_threshold:.2f} |")
        rows.append((cell.name, medians, to_oracle))
    picture = pathlib.Path(options.out).with_suffix(".png")
    save(rows, picture)
    print(f"\npicture: {picture}")
    ratios = [row[2] for row in rows]
    peaks = [record["memory"] for record in records.all if record["key"][1:3] == ["final", "model"] and record["key"][0] in names]
    client, server = (max(sides) >> 20 for sides in zip(*peaks))
    print(f"memory beside model: client {client} MiB (wanted {CLIENT >> 20}), server {server} MiB (wanted {SERVER >> 20})")
    print(f"model to the best: median {statistics.median(ratios):.3f} (wanted {WANTED}), worst {min(ratios):.3f} (wanted {LEAST})")


if __name__ == "__main__":
    main(bench)
