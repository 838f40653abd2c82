#!/usr/bin/env python3
"""A server's sending makes way for commits: while others' writes take longer than they did, a real pull is slowed, which
`status` counts; when they do no longer, it goes on to its end.

The disk's syncs are made slow by a shim: that the pull is their cause does not matter to who waits for a commit.

usage: yields.py [--bytes N] [--rate N]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from broken_disk_shim import shim
from streamdiff_tools import BINARY, Server, main, require, run, scratch, status, wait_until

arguments = argparse.ArgumentParser()
arguments.add_argument("--bytes", type=int, default=24_000_000, help="pulled (default: %(default)s)")
arguments.add_argument("--rate", type=int, default=6_000_000, help="bytes per second (default: %(default)s)")
options = arguments.parse_args()


class Writer:
    """Puts, one after the other, until it is told to stop."""

    def __init__(self, server):
        self.server, self.stop, self.count = server, threading.Event(), 0
        self.thread = threading.Thread(target=self._write)

    def _write(self):
        while not self.stop.is_set():
            run("put", f"key {self.count}", "value", "--keyspace", "written", server=self.server)
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def counters(server):
    return status(server)["counters"]


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        (work / "source").mkdir()
        (work / "source/noise").write_bytes(os.urandom(options.bytes))
        slow = work / "slow"
        disk = {
            "LD_PRELOAD": shim(work), "BREAK_CALL": "fdatasync", "BREAK_PATH": "/wal/log-", "BREAK_DELAY": 60,
            "BREAK_WHILE": slow,
        }  # fmt: skip
        with Server(work / "data", "--rate-max", str(options.rate), environment=disk) as server:
            run("push", work / "source", server=server)
            pull = subprocess.Popen([BINARY, "pull", work / "pulled", "--server", server.address], stdout=subprocess.DEVNULL)
            try:
                with Writer(server) as writer:
                    # What writes take when the disk is what it is.
                    wait_until(lambda: counters(server)["send_rate"] > 0, 30, "a pull")
                    before = writer.count
                    wait_until(lambda: writer.count >= before + 5, 60, "writes")
                    slow.touch()

                    def is_slowed():
                        require(pull.poll() is None, "the pull was over before it was slowed")
                        now = counters(server)
                        held = 0 < now["send_rate_governed"] < options.rate / 2 and now["send_rate"] < options.rate / 2
                        return held and now["send_slowdowns"] > 0

                    wait_until(is_slowed, 60, "a slower pull")
                    slowed = counters(server)
                    reasons = {session["reason"] for session in status(server)["sessions"]}
                    (told,) = (line for line in run("status", server=server).stdout.splitlines() if line.startswith("sends "))
                    slow.unlink()
                require(pull.wait(120) == 0, "the pull failed")
            finally:
                if pull.poll() is None:
                    pull.kill()
                    pull.wait()
            require(slowed["send_rate_max"] == options.rate and slowed["send_sessions"] == 1, f"{slowed}")
            words = ("/s in 1 session, ", "rate-max ", "slowed for commits ")
            require(all(word in told for word in words), f"status says: {told}")
            require(any("governed" in reason for reason in reasons), f"status said {reasons}")
            wait_until(lambda: counters(server)["send_rate"] == 0, 30, "nothing to be sent")
            require(counters(server)["send_rate_governed"] == 0, "a node that sends nothing is slowed")
            same = (work / "pulled/noise").read_bytes() == (work / "source/noise").read_bytes()
            require(same, "other bytes came back")
            require(server.stop() == 0, "the server did not stop cleanly")
    return (
        f"at {options.rate}/s a pull was slowed {slowed['send_slowdowns']} times, to {slowed['send_rate_governed']}/s, "
        f"while syncs took 60 ms"
    )


if __name__ == "__main__":
    main(law)
