"""kill -9 of the server at random moments of a push and of puts: every acknowledged put is there afterwards,
a torn tail is cut, a push again sends only what is missing, and the final root is right.

usage: kill9.py [--kills N] [--seed S]   (tools/test: 6; tools/bench kill9: 30)
"""

import argparse
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, keyspace, main, ndjson, require, run, run_json, scratch


class Writer(threading.Thread):
    """Puts rising numbers one after the other and records what was acknowledged."""

    def __init__(self, server, prefix):
        super().__init__(daemon=True)
        self.server, self.prefix = server, prefix
        self.acknowledged = []
        self.ended = threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            key = f"{self.prefix}/{number:06d}"
            done = subprocess.run(
                [str(BINARY), "put", key, f"value of {key}", "--keyspace", "acks", "--server", self.server.address],
                capture_output=True,
            )
            if done.returncode == 0:
                self.acknowledged.append(key)
            number += 1


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        source = work / "source.ndjson"
        ndjson(source, options.entries, options.seed)
        # What an undisturbed push gives.
        with Server(work / "reference") as server:
            started = time.monotonic()
            whole = run_json("push", source, server=server)
            seconds = time.monotonic() - started
            server.stop()
        server = Server(work / "data")
        server.start()
        acknowledged = []
        kept = []
        for kill in range(options.kills):
            name = f"push-{kill:03d}"
            push = subprocess.Popen(
                [str(BINARY), "push", str(source), "--keyspace", name, "--server", server.address],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            writer = Writer(server, f"round-{kill:03d}")
            writer.start()
            try:
                push.wait(moments.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                pass
            server.kill()
            push.kill()
            push.wait()
            writer.ended.set()
            writer.join()
            acknowledged += writer.acknowledged
            server.start()
            where = f"seed {options.seed}, kill {kill}"
            for key in acknowledged:
                if key in writer.acknowledged or moments.random() < 0.05:
                    got = run("get", key, "--keyspace", "acks", server=server, codes=(0, 1))
                    require(got.returncode == 0, f"{where}: {key} was acknowledged and is gone")
                    require(got.stdout == f"value of {key}", f"{where}: {key} reads {got.stdout!r}")
            kept.append(keyspace(server, name)["entries"])
            again = run_json("push", source, "--keyspace", name, server=server)
            require(again["root"] == whole["root"], f"{where}: root {again['root']}, undisturbed {whole['root']}")
            missing = whole["entries_total"] - kept[-1]
            require(again["entries_changed"] == missing, f"{where}: {missing} missing, {again['entries_changed']} sent")
            require(keyspace(server, name)["root"] == whole["root"], f"{where}: the server's root differs")
        require(server.stop() == 0, "the server did not stop cleanly")
        # And once more: what was shut down in order opens and reads the same.
        with Server(work / "data") as again:
            require(keyspace(again, name)["root"] == whole["root"], "the root changed over a restart")
            again.stop()
    return f"{options.kills} kills, {len(acknowledged)} acknowledged puts kept, entries found after kills: {kept}"


if __name__ == "__main__":
    main(law)
