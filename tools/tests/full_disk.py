#!/usr/bin/env python3
"""A small disk that fills up, and data directories that cannot be served: a push that meets the floor of free
space ends with exit 5 and words while reads go on; with space back it completes; a disk that is really full ends
the server with exit 1, and nothing acknowledged is missing afterwards. A directory in use, of a newer format or on
a read-only mount is refused exactly. Mounts a tmpfs: where that is not allowed it says so and skips.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Failure, Server, main, require, run, scratch, status, wait_until

MIB = 1 << 20


def mount(*arguments):
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    return done.returncode == 0, done.stderr


def values(path, count, size):
    """`count` values that do not compress, in NDJSON."""
    with open(path, "w") as out:
        for number in range(count):
            out.write(json.dumps({"key": f"key/{number:05d}", "value": os.urandom(size // 2).hex()}) + "\n")


def floor(work, disk):
    """Read-only below the floor, and back."""
    ballast = disk / "ballast"
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 26 * MIB)
    source = work / "source.ndjson"
    values(source, 240, 64 << 10)
    with Server(disk / "data") as server:
        pid = server.pid
        run("put", "kept", "value", "--keyspace", "single", server=server)
        # Each flush frees some log, so that another push gets a little further until nothing is left.
        for _ in range(20):
            done = run("push", source, server=server, codes=(5,))
            require("read-only: only" in done.stderr, f"a push into a full disk: {done}")
            require("MiB" in done.stderr and str(disk / "data") in done.stderr, f"it is not said where: {done.stderr}")
            time.sleep(1.5)  # the server looks at the disk once a second
            told = status(server)["read_only"]
            if told:
                break
        require(told and told.startswith("read-only: only"), f"status says {told!r}")
        for command in (["put", "k", "v"], ["delete", "kept"]):
            done = run(*command, "--keyspace", "single", server=server, codes=None)
            require(done.returncode == 5 and "read-only" in done.stderr, f"{command}: {done}")
        require(run("get", "kept", "--keyspace", "single", server=server).stdout == "value", "reads do not go on")
        run("scan", "--keyspace", "single", server=server)
        run("pull", work / "out.ndjson", server=server)
        run("verify", source, server=server, codes=(3,))
        ballast.unlink()
        wait_until(lambda: status(server)["read_only"] is None, 20, "writes with space back")
        wait_until(lambda: run("push", source, server=server, codes=(0, 5)).returncode == 0, 60, "a push with space back")
        run("verify", source, server=server)
        require(server.pid == pid and server.process.poll() is None, "it is not the same process")
        lines = server.messages().splitlines()
        turns = ["read-only" in line for line in lines if "read-only" in line or "takes writes again" in line]
        require(all(a != b for a, b in zip(turns, turns[1:])), f"logged more than once a time: {lines}")
        require(server.stop() == 0, "it did not stop cleanly")


def really_full(work, disk):
    """Somebody else takes all the space: what was acknowledged is in the log, and the state cannot be flushed."""
    server = Server(disk / "data", "--disk-floor", "1MiB")
    server.start()
    value = "v" * 100_000
    kept = 40
    for number in range(kept):
        run("put", f"full/{number:04d}", "-", server=server, stdin=value + str(number))
    with open(disk / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(bytes(MIB)):
                pass
        except OSError:
            pass
    wait_until(lambda: status(server)["read_only"], 20, "the floor")
    # On 64 MiB a floor of 1 MiB is less than accepted writes may still need, which counts.
    require(status(server)["read_only"].endswith("needs 16.0 MiB"), f"the floor: {status(server)['read_only']}")
    done = run("put", "full/more", "x", server=server, codes=None)
    require(done.returncode == 5 and "read-only: only 0.0 MiB" in done.stderr, f"a put with no space at all: {done}")
    require(run("get", "full/0001", server=server).stdout == value + "1", "reads do not go on")
    code = server.stop()
    require(code == 1 and "No space left" in server.messages(), f"exit {code}: {server.messages()}")
    run("check", "--data-dir", disk / "data")
    (disk / "ballast").unlink()
    with Server(disk / "data") as healed:
        for number in range(kept):
            got = run("get", f"full/{number:04d}", server=healed).stdout
            require(got == value + str(number), f"full/{number:04d} was acknowledged and is not there")
        require(healed.stop() == 0, "it did not stop cleanly")
    return kept


def serve(directory):
    return subprocess.run(
        [str(BINARY), "serve", "--data-dir", str(directory), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60)


def refused(done, code, *words):
    said = done.stdout + done.stderr
    require(done.returncode == code and all(word in said for word in words), f"exit {done.returncode}, wanted {code} and {words}: {said}")


def directories(work, can_mount):
    """In use, of a newer format, not writable."""
    data = work / "used"
    with Server(data) as server:
        run("put", "k", "v", server=server)
        for done in (serve(data), run("check", "--data-dir", data, codes=None)):
            refused(done, 5, str(data / "LOCK"), "another process")
        server.stop()
    refused(run("check", "--data-dir", data, codes=None), 0, "sound")
    own = work / "own"
    own.mkdir()
    (own / "letter.txt").write_text("dear")
    for done in (serve(own), run("check", "--data-dir", own, codes=None)):
        refused(done, 5, str(own), "not a data directory: it holds letter.txt")
        require([path.name for path in own.iterdir()] == ["letter.txt"], "something was left in a directory that is not ours")
    for value in ("-1", "much"):
        done = run("serve", "--data-dir", data, "--disk-floor", value, codes=None)
        refused(done, 64, f"'{value}' is invalid", "--disk-floor")
    refused(run("check", "--data-dir", work / "nothing", codes=None), 1, "nothing")
    (work / "empty").mkdir()
    refused(run("check", "--data-dir", work / "empty", codes=None), 1, "empty")
    require(list((work / "empty").iterdir()) == [], "check made something")
    if can_mount:
        shown = work / "shown"
        shown.mkdir()
        require(mount("--bind", data, shown)[0] and mount("-o", "remount,ro,bind", shown)[0], "bind mount")
        try:
            refused(serve(shown), 1, str(shown), "Read-only file system")
            refused(run("check", "--data-dir", shown, codes=None), 0, "sound")
        finally:
            subprocess.run(["umount", shown], check=True)
    form = (data / "format").read_text()
    (data / "format").write_text("streamdiff data 7\n")
    for done in (serve(data), run("check", "--data-dir", data, codes=None)):
        refused(done, 5, str(data / "format"), "7 is newer")
    (data / "format").write_text(form)
    with Server(data) as server:
        require(run("get", "k", server=server).stdout == "v", "the value is gone")
        server.stop()


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        disk = work / "disk"
        disk.mkdir()
        can_mount, why = mount("-t", "tmpfs", "-o", "size=64m", "streamdiff-test", disk)
        require(can_mount or os.geteuid() != 0 or os.environ.get("CI") != "true", f"as root a tmpfs must mount: {why}")
        kept = 0
        try:
            if can_mount:
                floor(work, disk)
                kept = really_full(work, disk)
        finally:
            if can_mount:
                subprocess.run(["umount", disk], check=True)
        directories(work, can_mount)
    return f"{kept} puts kept on a full disk" if can_mount else f"SKIPPED the full disk, no tmpfs here: {why.strip()}"


if __name__ == "__main__":
    main(law)
