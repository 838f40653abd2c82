"""What tools/demo shows once the program is built."""

import os
import pathlib
import subprocess
import sys

from streamdiff_tools import Failure, Server, keyspace, require, run, run_json, scratch, trees

STEPS = ("push old", "push new", "push new again", "pull")


def say(text):
    print(f"\n== {text}", flush=True)


def describe(tree):
    files = links = size = 0
    for folder, _, names in os.walk(tree):
        for path in (os.path.join(folder, name) for name in names):
            links += os.path.islink(path)
            files += not os.path.islink(path)
            size += os.lstat(path).st_size
    return f"{files:,} files, {links:,} links, {size / 1e6:.0f} MB"


def listing(tree):
    """Path -> mode, type included, of everything in the tree."""
    found = {}
    for folder, folders, names in os.walk(tree):
        for name in folders + names:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, tree)] = os.lstat(path).st_mode
    return found


def prove_equal(tree, pulled):
    done = subprocess.run(["diff", "-r", "--no-dereference", tree, pulled], capture_output=True, text=True)
    require(done.returncode == 0, f"diff -r:\n{done.stdout[:2000]}{done.stderr}")
    require(listing(tree) == listing(pulled), "types or modes differ")
    print("diff -r finds nothing; types and modes are equal")


def table(results):
    row = "{:<15} {:>15} {:>13} {:>12} {:>12} {:>8} {:>8}"
    print("\n" + row.format("", "entries changed", "logical B", "sent B", "received B", "seconds", "MB/s"))
    for step, result in zip(STEPS, results):
        rate = result["bytes_logical"] / 1e6 / max(result["seconds"], 1e-6)
        numbers = [result[name] for name in ("entries_changed", "bytes_logical", "bytes_sent", "bytes_received")]
        seconds = f"{result['seconds']:.3f}"
        print(row.format(step, *(f"{number:,}" for number in numbers), seconds, f"{rate:.1f}"))


def demo():
    say("input")
    old, new, name = trees()
    print(f"{name}, old: {describe(old)}\n{name}, new: {describe(new)}")
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            say(f"a server on {server.address}: push the old version, the new one, it again; pull it")
            in_demo = ("--keyspace", "demo")
            results = [run_json("push", tree, *in_demo, server=server) for tree in (old, new, new)]
            results.append(run_json("pull", work / "pulled", *in_demo, server=server))
            say("proof")
            prove_equal(new, work / "pulled")
            run("verify", new, *in_demo, server=server)
            roots = {result["root"] for result in results[1:]} | {keyspace(server, "demo")["root"]}
            require(len(roots) == 1, f"roots differ: {sorted(roots)}")
            print(f"root of both pushes, of what was pulled and of the server: {roots.pop()}")
            table(results)
            require(server.stop() == 0, "the server did not end well")


if __name__ == "__main__":
    try:
        demo()
    except Failure as failure:
        sys.exit(f"FAILED demo: {failure}")
