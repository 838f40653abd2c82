"""tools/bench fire: the laws of the main job on bad days, at full size; tools/test has them small.

usage: fire.py [LAW...] [--list] [--again]

Laws run one after the other, none beside another. What a law said is kept, with the commit, in the cache
directory: a run that was cut off goes on where it was, and --again measures anew. A Markdown table ends it.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, ROOT, cache_directory

PYTHON = [sys.executable, "-B"]


def program(name, *flags):
    """A program of tools/tests with the flags of its full size."""
    return [[*PYTHON, str(ROOT / "tools/tests" / f"{name}.py"), *flags]]


def suite(name, **environment):
    """A suite of the unit tests, with as many seeds or entries as the environment says."""
    swift = ["swift", "test", "-c", "release", "--disable-xctest", "-j", "2", "--filter", name]
    return [["env", *(f"{key}={value}" for key, value in environment.items()), *swift]]


def fuzz(executions):
    return [[*PYTHON, str(ROOT / "tools/fuzz"), "--engine", "mutator", "--executions", str(executions)]]


LAWS = {
    "exactly_once": program("exactly_once", "--cuts", "500", "--kills", "50"),
    "kill9": program("kill9", "--kills", "100", "--entries", "200000"),
    "simulation": suite("SimulationTests|LabelTests", STREAMDIFF_SEEDS=4000),
    "two_writers": program("two_writers", "--rounds", "20", "--entries", "100000"),
    "killed_pull": program("killed_pull", "--kills", "50", "--large", "300"),
    "bulk_memory": program("bulk_memory", "--files", "4096", "--lines", "4000000", "--rounds", "4", "--limit", "300"),
    "stalled_peers": program("stalled_peers", "--looks", "7", "--latency", "2000", "--give-up"),
    "idle_connections": program("idle_connections", "--connections", "1000"),
    "hostile_peers": program("hostile_peers", "--scale", "16"),
    "broken_disk": program("broken_disk", "--rounds", "16"),
    "full_disk": program("full_disk"),
    "check_damage": program("check_damage", "--flips", "64"),
    "merkle_cost": [[*PYTHON, str(ROOT / "tools/benches/merkle_cost.py")]],
    "damaged_state": program("damaged_state", "--flips", "64"),
    "fuzz": fuzz(10_800_000),
}


def commit():
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True
    )
    return described.stdout.strip() or "unknown"


def measure(law, commands):
    """Runs a law's commands; the last line that one of them prints is its figure."""
    started, figures, code = time.monotonic(), [], 0
    for command in commands:
        print(f"== {law}: {' '.join(command)}", flush=True)
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "STREAMDIFF_BIN": str(BINARY)}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        last = ""
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
        code = process.wait()
        figures.append(last)
        if code:
            break
    return {
        "law": law, "holds": code == 0, "said": "; ".join(figures), "seconds": round(time.monotonic() - started),
        "commit": commit(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def table(results):
    print("\n| law | holds | seconds | commit, day | what it said |\n|---|---|---|---|---|")
    for law in LAWS:
        if law in results:
            r = results[law]
            said = r["said"].replace("|", "\\|")
            print(f"| {law} | {'yes' if r['holds'] else '**no**'} | {r['seconds']} | {r['commit']}, {r['date']} | {said} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("laws", nargs="*", metavar="LAW")
    parser.add_argument("--list", action="store_true", help="names the laws and their commands")
    parser.add_argument("--again", action="store_true", help="measures anew what this commit has measured")
    options = parser.parse_args()
    unknown = [law for law in options.laws if law not in LAWS]
    if unknown:
        parser.error(f"no law {', '.join(unknown)}; there are: {', '.join(LAWS)}")
    if options.list:
        for law, commands in LAWS.items():
            print(law, *(" ".join(command) for command in commands), sep="\n    ")
        return 0

    kept = cache_directory() / "fire.ndjson"
    results = {}
    if kept.exists():
        for line in kept.read_text().splitlines():
            result = json.loads(line)
            results[result["law"]] = result
    wanted = options.laws or list(LAWS)
    for law in wanted:
        known = results.get(law)
        if known and known["holds"] and known["commit"] == commit() and not options.again:
            continue
        results[law] = measure(law, LAWS[law])
        with open(kept, "a") as out:
            out.write(json.dumps(results[law]) + "\n")
    table({law: results[law] for law in wanted})
    return 0 if all(results[law]["holds"] for law in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
