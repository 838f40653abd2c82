"""tools/bench codec: what the chunk codec makes of four kinds of data, without any network.

usage: codec.py [KIND...] [--levels ...] [--runs N] [--most BYTES]     KIND: json, entries, libraries, random

Ratio and speed by level and chunk size; bytes that travel beside a payload; what changing level or codec every 16
chunks costs in bytes, and a new frame in processor time. Exits with 1 where a law does not hold: a ratio at 4 KiB
chunks under 0.85, at 512 B under 0.65 of that at 64 KiB, or a change every 16 chunks that costs 3 % of the bytes.
MB/s are plain bytes over processor time of one thread, medians of N runs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from memory import noise
from streamdiff_tools import BINARY, Failure, main, require, scratch, trees

BENCH = BINARY.with_name("codec-bench")
CHUNKS = [512, 4 << 10, 16 << 10, 64 << 10, 256 << 10]
USUAL = 64 << 10
# Least ratio, as a part of that at 64 KiB.
LEAST = {4 << 10: 0.85, 512: 0.65}
# A change every 16 chunks costs less.
MOST_FOR_CHANGES = 0.03
EVERY = 16
# Changes that a controller makes: a step, a leap, data that do not shrink.
CHANGES = [(1, "3"), (3, "6"), (6, "12"), (-5, "12"), (1, "none"), (12, "none")]
MIB = 1 << 20


def joined(paths, target, most, each=1 << 40):
    with open(target, "wb") as out:
        for path in paths:
            out.write(path.read_bytes()[:each])
            if out.tell() >= most:
                return


def json_text(target, most):
    tree = trees()[1]
    joined([path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink()], target, most)


def short_entries(target, most):
    """Keys and values of about 100 bytes, as pushes of NDJSON have them."""
    count = most // 90
    values = noise("entries", 25 * count).hex()
    with open(target, "w") as out:
        for key in range(count):
            out.write(f"user/{key:09d}\t{values[50 * key : 50 * key + 50]} item {key} of the set\n")


def libraries(target, most):
    found = [p for p in pathlib.Path("/usr/lib").rglob("*.so*") if p.is_file() and not p.is_symlink()]
    require(found, "no shared libraries under /usr/lib")
    found.sort(key=lambda path: noise(path, 8))  # some of everywhere
    joined(found, target, most, each=MIB)


def random_bytes(target, most):
    pathlib.Path(target).write_bytes(noise("random", most))


KINDS = {"json": json_text, "entries": short_entries, "libraries": libraries, "random": random_bytes}


def measured(file, kind, *flags):
    command = [str(BENCH), str(file), *(["--entries"] if kind == "entries" else []), *map(str, flags)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def ratios(kind, file, options, broken):
    print(f"\n### {kind}: ratio at 64 KiB, and by chunk size its part of that (compress, decompress MB/s)\n")
    print("| level | ratio | " + " | ".join(f"{size >> 10} KiB" if size >= 1024 else f"{size} B" for size in CHUNKS) + " |")
    print("|---" * (len(CHUNKS) + 2) + "|")
    beside = {}
    for level in options.levels:
        rows = measured(
            file, kind, "--level", level, "--chunks", *CHUNKS,
            "--runs", options.runs if level <= 12 else 1)  # seconds a run: steady enough
        ratio = {row["chunk"]: row["plain"] / row["payload"] for row in rows}
        cells = []
        for row in rows:
            size, part = row["chunk"], ratio[row["chunk"]] / ratio[USUAL]
            rate = [row["plain"] / 1e6 / row[name] for name in ("compress_s", "decompress_s")]
            holds = part >= LEAST.get(size, 0)
            mark = "" if holds else "**"
            cells.append(f"{mark}{part:.3f}{mark} ({rate[0]:.0f}, {rate[1]:.0f})")
            if not holds:
                broken.append(f"{kind} level {level}: {part:.3f} of the ratio at chunks of {size} B")
            beside.setdefault(size, []).append((row["overhead"] / row["chunks"], row["payload"] / row["chunks"]))
        print(f"| {level} | {ratio[USUAL]:.2f} | " + " | ".join(cells) + " |", flush=True)
    print("\nHeaders a chunk, of message, gRPC and HTTP/2, and their part of what travels at the least payload:", end=" ")
    told = []
    for size, pairs in beside.items():
        header, payload = pairs[0][0], min(payload for _, payload in pairs)
        told.append(f"{size} B: {header:.0f} B, {100 * header / (header + payload):.1f} %")
    print("; ".join(told))


def changes(kind, file, options, broken):
    print(f"\n### {kind}: what a change every {EVERY} chunks costs (bytes; a new frame in processor time)\n")
    sizes = [4 << 10, 16 << 10, 64 << 10]
    print("| levels | " + " | ".join(f"{size >> 10} KiB" for size in sizes) + " |")
    print("|---" * (len(sizes) + 1) + "|")
    for level, other in CHANGES:
        rows = measured(
            file, kind, "--level", level, "--other", other, "--every", EVERY, "--chunks", *sizes,
            "--runs", options.runs, "--most", options.most // 2)  # fmt: skip
        cells = []
        for row in rows:
            cost = row["changed"] / row["never"] - 1
            holds = cost < MOST_FOR_CHANGES
            mark = "" if holds else "**"
            frame = max(0, row["first_us"] - row["second_us"])
            cells.append(f"{mark}{100 * cost:+.2f} %{mark} ({frame:.0f} us)")
            if not holds:
                broken.append(f"{kind} {level} and {other}: {100 * cost:.2f} % at chunks of {row['chunk']} B")
        print(f"| {level}, {other} | " + " | ".join(cells) + " |", flush=True)


def bench():
    parser = argparse.ArgumentParser(prog="tools/bench codec", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--levels", type=int, nargs="+", default=[-7, -5, -3, -1, 1, 3, 6, 9, 12, 19])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--most", type=int, default=8 * MIB, help="bytes of each kind")
    options = parser.parse_args()
    unknown = set(options.kinds) - set(KINDS)
    if unknown:
        parser.error(f"no kind {', '.join(sorted(unknown))}; there are: {', '.join(KINDS)}")
    print(f"load {os.getloadavg()[0]:.2f}; {options.most / 1e6:.0f} MB of each kind; runs: {options.runs}")
    broken = []
    with scratch() as work:
        for kind in options.kinds or KINDS:
            file = pathlib.Path(work) / kind
            KINDS[kind](file, options.most)
            ratios(kind, file, options, broken)
            changes(kind, file, options, broken)
    print(f"\nload {os.getloadavg()[0]:.2f}")
    require(not broken, "; ".join(broken))
    return "ratios and changes are within their laws"


if __name__ == "__main__":
    main(bench)
