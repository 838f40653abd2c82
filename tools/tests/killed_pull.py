"""kill -9 of the client in the middle of a pull, at random moments. Each file is its old or its new content, mode and
link target; the next pull receives only the rest, pieces of a file that was half there included; nothing is left
over; the tree is byte-identical in the end. A file of NDJSON is the old or the new one.

usage: killed_pull.py [--kills N] [--large MIB] [--seed S]   (full size: --kills 50 --large 300)
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, main, require, run, run_json, scratch

PART = re.compile(r"\.streamdiff-[0-9a-f]{16}\.part")
# What may come beside missing pieces and what an undisturbed pull needs beside them: comparing in other places.
SLACK = 128 << 10


def read(root):
    """path: what it is. Unfinished files apart."""
    tree = {}
    for path in root.rglob("*"):
        name, status = str(path.relative_to(root)), path.lstat()
        if PART.fullmatch(path.name):
            continue
        if stat.S_ISLNK(status.st_mode):
            tree[name] = ("link", os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            tree[name] = ("directory",)
        else:
            tree[name] = ("file", status.st_mode & 0o7777, path.read_bytes())
    return tree


def leftovers(root):
    return [str(path) for path in root.rglob("*") if PART.fullmatch(path.name)]


def held(root):
    """path: bytes of it in unfinished files, as the journal lists their pieces and as their digests hold."""
    found = {}
    try:
        journal = (root / ".streamdiff-0000000000000000.part").read_bytes()
    except FileNotFoundError:
        return found
    place = 0
    while place + 8 <= len(journal):
        length = int.from_bytes(journal[place : place + 4], "little")
        body = journal[place + 8 : place + 8 + length]
        place += 8 + length
        if len(body) < length:
            break
        end = 4 + int.from_bytes(body[:4], "little")
        path, number = body[4:end].decode(), int.from_bytes(body[end : end + 8], "little")
        try:
            content = ((root / path).parent / (".streamdiff-%016x.part" % number)).read_bytes()
        except FileNotFoundError:
            continue
        pieces, offset = {}, 0
        for item in range(end + 12, length, 36):
            digest, size = body[item : item + 32], int.from_bytes(body[item + 32 : item + 36], "little")
            if hashlib.sha256(content[offset : offset + size]).digest() == digest:
                pieces[digest] = size
            offset += size
        found[path] = max(found.get(path, 0), sum(pieces.values()))
    return found


def make(root, choice, version, files):
    root.mkdir()
    for n in range(files):
        folder = root / f"d{n % 20}"
        folder.mkdir(exist_ok=True)
        content = random.Random(f"{n} {version if n % 3 else 0}").randbytes(choice.choice((100, 5_000, 60_000)))
        if version == "new" and n % 11 == 5:
            continue  # gone
        (folder / f"f{n}").write_bytes(content)
        (folder / f"f{n}").chmod(0o600 if (n + (version == "new")) % 7 == 0 else 0o644)
        if n % 40 == 0:
            (folder / f"l{n}").symlink_to(f"{version}-{n}")
    if version == "new":
        (root / "more/deep").mkdir(parents=True)
        (root / "more/deep/large").write_bytes(random.Random("large").randbytes(6 << 20))


def pull_and_kill(server, keyspace, dest, seconds, until=lambda: False):
    """Kills it after a time, or when `until` says so. Returns whether it was killed, and its peak anonymous memory in bytes."""
    pull = subprocess.Popen(
        [str(BINARY), "pull", str(dest), "--keyspace", keyspace, "--server", server.address],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + seconds
    peak = 0
    while pull.poll() is None and time.monotonic() < end and not until():
        try:
            found = re.search(r"RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pull.pid}/status").read_text())
            peak = max(peak, int(found.group(1)) * 1024) if found else peak
        except FileNotFoundError:
            break
        time.sleep(min(0.005, max(0, end - time.monotonic())))
    pull.kill()
    _, said = pull.communicate()
    require(pull.returncode in (0, -9), f"the pull ended with {pull.returncode}: {said}")
    return pull.returncode == -9, peak


def missing(new, there):
    """path: bytes of a file that is not there as it is to be."""
    return {
        name: len(node[2]) for name, node in new.items()
        if node[0] == "file" and (name not in there or there[name][-1] != node[2])
    }


def trees(server, work, options, choice):
    make(work / "old", random.Random(options.seed), "old", 600)
    make(work / "new", random.Random(options.seed), "new", 600)
    run("push", work / "new", "--keyspace", "tree", server=server)
    old, new = read(work / "old"), read(work / "new")
    whole, beside = {}, {}
    for start in ("empty", "old"):
        dest = work / f"whole-{start}"
        if start == "old":
            shutil.copytree(work / "old", dest, symlinks=True)
        begun = time.monotonic()
        pulled = run_json("pull", dest, "--keyspace", "tree", server=server)
        whole[start] = time.monotonic() - begun
        beside[start] = pulled["bytes_received"] - sum(missing(new, old if start == "old" else {}).values())
        require(read(dest) == new, f"an undisturbed pull over {start} content gives another tree")
    killed, resumed, pulls = 0, 0, 0
    while killed < options.kills:
        kill, pulls = pulls, pulls + 1
        require(pulls <= 5 * options.kills, f"only {killed} of {pulls} pulls were killed before their end")
        start = ("empty", "old")[kill % 2]
        dest = work / f"dest-{kill}"
        if start == "old":
            shutil.copytree(work / "old", dest, symlinks=True)
        where = f"--seed {options.seed}, kill {kill} over {start} content"
        killed += pull_and_kill(server, "tree", dest, choice.uniform(0, whole[start]))[0]
        there, parts = read(dest), held(dest)
        before = old if start == "old" else {}
        for name, node in there.items():
            require(node in (before.get(name), new.get(name)), f"{where}: {name} is neither old nor new: {node[:2]}")
        for name in before:
            require(name in there or name not in new, f"{where}: {name} is gone")
        lacks = missing(new, there)
        rest = sum(max(0, size - parts.get(name, 0)) for name, size in lacks.items())
        again = run_json("pull", dest, "--keyspace", "tree", server=server)
        require(read(dest) == new, f"{where}: the next pull leaves another tree")
        require(not leftovers(dest), f"{where}: left over: {leftovers(dest)}")
        require(again["bytes_received"] <= rest + beside[start] + SLACK,
                f"{where}: {sum(lacks.values())} bytes were missing, {rest} without what is half there; "
                f"{again['bytes_received']} came")
        resumed += sum(lacks.values()) - rest
        shutil.rmtree(dest)
    return pulls, resumed


def large(server, work, options, choice):
    """One file, killed again and again: what is there only grows, and the last pull brings the rest alone."""
    size = options.large << 20
    (work / "large").mkdir()
    with open(work / "large/file", "wb") as out:
        for block in range(options.large):
            out.write(random.Random(f"{options.seed} {block}").randbytes(1 << 20))
    run("push", work / "large", "--keyspace", "large", server=server)
    whole = run_json("pull", work / "large-whole", "--keyspace", "large", server=server)["bytes_received"]
    shutil.rmtree(work / "large-whole")
    dest = work / "large-dest"
    kept, kills, peak = 0, 0, 0
    steps = max(3, options.kills // 5)

    def written():
        return sum(status.st_blocks * 512 for status in map(os.stat, leftovers(dest)))

    for step in range(steps):
        # By what is on disk, not by time: each gets somewhat further than the one before.
        goal = size * (step + choice.uniform(0.2, 0.8)) / (steps + 1)
        was_killed, used = pull_and_kill(server, "large", dest, 300, until=lambda: written() >= goal)
        peak = max(peak, used)
        kills += was_killed
        if (dest / "file").exists():
            break
        now = held(dest).get("file", 0)
        require(now >= kept, f"--seed {options.seed}: {kept} bytes were there, after another kill {now}")
        kept = now
    kept = size if (dest / "file").exists() else kept
    again = run_json("pull", dest, "--keyspace", "large", server=server)
    require((dest / "file").read_bytes() == (work / "large/file").read_bytes(), "the large file differs")
    require(os.listdir(dest) == ["file"], f"left over: {os.listdir(dest)}")
    require(kept > 0, f"{kills} kills left nothing of the large file")
    require(again["bytes_received"] <= whole - kept + SLACK, f"{kept} of {size} bytes were there, {again['bytes_received']} came again")
    require(peak <= 300 << 20, f"a pull used {peak >> 20} MiB")
    return kills, kept / size, peak


def ndjson(server, work, options, choice):
    """The file is the old one or the new one."""
    for version in ("old", "new"):
        with open(work / f"{version}.ndjson", "w") as out:
            for n in range(12_000):
                out.write(json.dumps({"key": f"k{n:06d}", "value": f"{version} {n}" * 5}, separators=(",", ":")) + "\n")
    run("push", work / "new.ndjson", "--keyspace", "lines", server=server)
    folder = work / "lines"
    folder.mkdir()
    begun = time.monotonic()
    run("pull", folder / "dest", "--keyspace", "lines", server=server)
    seconds = time.monotonic() - begun
    new = (folder / "dest").read_bytes()
    old = (work / "old.ndjson").read_bytes()
    for kill in range(options.kills):
        (folder / "dest").write_bytes(old)
        pull_and_kill(server, "lines", folder / "dest", choice.uniform(0.3, 1.1) * seconds)
        require((folder / "dest").read_bytes() in (old, new), f"--seed {options.seed}, kill {kill}: half a file of NDJSON")
        run("pull", folder / "dest", "--keyspace", "lines", server=server)
        require((folder / "dest").read_bytes() == new and os.listdir(folder) == ["dest"], f"left over: {os.listdir(folder)}")


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--large", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    choice = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            killed, resumed = trees(server, work, options, choice)
            kills, share, peak = large(server, work, options, choice)
            ndjson(server, work, options, choice)
            server.stop()
    return f"{options.kills} of {killed} pulls killed, {resumed >> 10} KiB of unfinished files used again; " \
        f"{options.large} MiB over {kills} kills: {share:.0%} were there, peak {peak >> 20} MiB"


if __name__ == "__main__":
    main(law)
