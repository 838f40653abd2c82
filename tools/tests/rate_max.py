#!/usr/bin/env python3
"""`--rate-max` is a cap: a push and a pull of bytes that do not shrink take the time that they take at that rate, and
`status` says so meanwhile; a cap that is taken away while it holds lets the transfer go.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, main, require, run, run_json, scratch, status, wait_until

arguments = argparse.ArgumentParser()
arguments.add_argument("--bytes", type=int, default=6_000_000, help="pushed and pulled (default: %(default)s)")
arguments.add_argument("--rate", type=int, default=2_000_000, help="bytes per second (default: %(default)s)")
options = arguments.parse_args()


def seen_reasons(server, stop, reasons):
    while not stop.is_set():
        reasons.update(session.get("reason", "") for session in status(server)["sessions"])
        stop.wait(0.1)


def capped(server, *command):
    """Runs a transfer; what it took, and what `status` said of it."""
    stop, reasons = threading.Event(), set()
    watcher = threading.Thread(target=seen_reasons, args=(server, stop, reasons))
    watcher.start()
    start = time.monotonic()
    try:
        done = run_json(*command, server=server)
    finally:
        stop.set()
        watcher.join()
    return done, time.monotonic() - start, reasons


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        (work / "source").mkdir()
        (work / "source/noise").write_bytes(os.urandom(options.bytes))
        # A cap begins with nothing gathered: not even a burst is free.
        least = options.bytes / options.rate
        figures = []
        with Server(work / "data", "--rate-max", str(options.rate)) as server:
            for what, command, sent in [
                ("push", ("push", work / "source", "--rate-max", options.rate), "bytes_sent"),
                ("pull", ("pull", work / "pulled"), "bytes_received"),
            ]:
                done, seconds, reasons = capped(server, *command)
                require(done[sent] >= options.bytes, f"{what}: {done} for {options.bytes} bytes")
                require(seconds >= least, f"{what}: {seconds:.3f} s for {options.bytes} bytes at {options.rate}/s")
                require(any("at rate-max" in reason for reason in reasons), f"{what}: status said {reasons}")
                figures.append(f"{what} {seconds:.2f} s")
            pulled = (work / "pulled/noise").read_bytes()
            require(pulled == (work / "source/noise").read_bytes(), "other bytes came back")
            lifted(server, work)
            server.stop()
    return f"{options.bytes} bytes at {options.rate}/s, which takes {least:.2f} s: {', '.join(figures)}"


def lifted(server, work):
    """At the lowest cap the transfer would take an hour."""
    run("tune", "rate-max=1KiB", server=server)
    pull = subprocess.Popen(
        [BINARY, "pull", work / "again", "--server", server.address], stdout=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: any("at rate-max" in session.get("reason", "") for session in status(server)["sessions"]), 30,
            "a session at its cap")
        run("tune", "rate-max=none", server=server)
        require(pull.wait(60) == 0, "the pull failed")
    finally:
        if pull.poll() is None:
            pull.kill()
            pull.wait()
    require((work / "again/noise").stat().st_size == options.bytes, "the pull is not whole")


if __name__ == "__main__":
    main(law)
