"""While a push runs, other clients write and delete under the same keyspace. What they were told is done is never
overwritten or deleted unseen.

The law, exactly. A push compares at log indices C1 < C2 < … (`compared_at` of its JSON): what it plans in a round
replaces what was there at that index and nothing else. Let W be the last acknowledged write of others to a key k,
at log index i (PutResponse.index), and let SOURCE say S of k (a value, or its absence). Afterwards k holds

  - W; and then W came after the index at which the push says how things are (`index`), or the push ended with
    1 and lists k;
  - or S; and then the push has seen W before it replaced it: i <= the last C. Seen means the content: values here
    are unique, but one absence is as good as another, so a deletion is seen also where k was absent at some C,
    was written and deleted again;
  - and never anything else.

With --force the second case needs no C: it was told to overwrite. A writer that puts with `expected` (the digest
of its own last write) is refused exactly when the push has replaced that: the server's own history says so.

usage: two_writers.py [--rounds N] [--entries N] [--writers N] [--seed S]
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Failure, Server, main, require, run, scratch

import grpc
from streamdiff_grpc import entry_digest, stubs


class Writer(threading.Thread):
    """Writes and deletes keys of its own share, remembers what was acknowledged, and when."""

    def __init__(self, server, keyspace, modules, keys, seed):
        super().__init__(daemon=True)
        self.messages, self.services = modules
        self.server, self.keyspace, self.keys = server, keyspace, keys
        self.random = random.Random(seed)
        self.last = {}  # key: (value or None, index)
        self.history = {}  # key: [(index, whether it was deleted)]
        self.told = 0  # conditional writes refused because the push had replaced what was there
        self.kept = 0  # conditional writes that went through
        self.failure = None
        self.started, self.ended = threading.Event(), threading.Event()
        self.hottest = self.random.sample(keys, min(8, len(keys)))

    def run(self):
        try:
            with grpc.insecure_channel(self.server.address) as channel:
                stub = self.services.KeyValueStub(channel)
                number = 0
                while not self.ended.is_set():
                    self.step(stub, number)
                    self.started.set()
                    number += 1
        except Exception as failure:  # whatever it is, the law reports it
            self.failure = failure
        self.started.set()

    def step(self, stub, number):
        # Some keys again and again, so that pushes meet them in every round.
        key = self.random.choice(self.hottest if self.random.random() < 0.3 else self.keys)
        fields = {"keyspace": self.keyspace, "key": key.encode()}
        expected = None
        if key in self.last and self.last[key][0] is not None and self.random.random() < 0.4:
            expected = fields["expected"] = entry_digest(key.encode(), self.last[key][0])
        try:
            if self.random.random() < 0.25:
                self.last[key] = None, stub.Delete(self.messages.DeleteRequest(**fields), timeout=30).index
            else:
                value = f"{self.name} wrote {number}".encode()
                index = stub.Put(self.messages.PutRequest(value=value, **fields), timeout=30).index
                self.last[key] = value, index
            self.history.setdefault(key, []).append((self.last[key][1], self.last[key][0] is None))
            if expected:
                self.kept += 1
        except grpc.RpcError as error:
            if not expected or error.code() != grpc.StatusCode.ABORTED:
                raise
            # Nobody else writes this key: the push has.
            self.told += 1


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--entries", type=int, default=60_000)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with scratch() as work:
        work = pathlib.Path(work)
        modules = stubs(work)
        with Server(work / "data") as server:
            totals = [0, 0, 0, 0, 0]
            for round in range(options.rounds):
                seed = options.seed * 1000 + round
                try:
                    for place, count in enumerate(one_push(server, work, modules, f"r{round}", options, seed)):
                        totals[place] += count
                except Failure as failure:
                    raise Failure(f"--seed {options.seed}, round {round}: {failure}") from None
            server.stop()
    written, stayed, replaced, listed, told = totals
    require(replaced > 0 and stayed > 0, f"the writers and the pushes never met: {totals}")
    return f"{options.rounds} pushes, {written} keys of others: {stayed} stand, {replaced} replaced after a look, " \
        f"{listed} listed as conflicts, {told} conditional writes told of it"


def absent_at(look, events, was_absent):
    """Whether the key's writer had left it absent at a log index."""
    before = [is_deletion for index, is_deletion in events if index <= look]
    return before[-1] if before else was_absent


def one_push(server, work, modules, name, options, seed):
    choice = random.Random(seed)
    # What is there: two thirds of SOURCE in older values, and a third that SOURCE does not have.
    source = {f"k{n:07d}": f"source {seed} {n} {choice.getrandbits(200):x}" for n in range(options.entries)}
    old = {key: f"old of {key}" for key in source if choice.random() < 0.66}
    old.update({f"o{n:07d}": f"only there {n}" for n in range(options.entries // 3)})
    for file, content in (("old", old), ("source", source)):
        with open(work / file, "w") as out:
            for key, value in content.items():
                out.write(json.dumps({"key": key, "value": value}) + "\n")
    run("push", work / "old", "--keyspace", name, server=server)
    keys = [*source, *(key for key in old if key not in source), *(f"x{n:07d}" for n in range(options.entries // 10))]
    choice.shuffle(keys)
    writers = [
        Writer(server, name, modules, keys[place :: options.writers], seed * 100 + place) for place in range(options.writers)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.started.wait(60)
    force = choice.random() < 0.3
    push = subprocess.Popen(
        [str(BINARY), "push", str(work / "source"), "--keyspace", name, "--json", "--server", server.address]
        + (["--force"] if force else []),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Some pushes are disturbed to their end, some have quiet last rounds.
    if choice.random() < 0.5:
        time.sleep(choice.uniform(0, 0.5))
        for writer in writers:
            writer.ended.set()
    out, err = push.communicate(timeout=300)
    for writer in writers:
        writer.ended.set()
        writer.join(60)
        require(not writer.failure, f"a writer failed: {writer.failure!r}")
    require(push.returncode in (0, 1), f"the push ended with {push.returncode}: {err}")
    result = json.loads(out)
    listed = {entry["key"] for entry in result.get("differing", [])}
    require((push.returncode == 1) == bool(listed), f"exit {push.returncode} with {len(listed)} listed: {err}")
    there = {line["key"]: line["value"] for line in map(json.loads, run("scan", "--keyspace", name, server=server).stdout.splitlines())}
    last_look = result["compared_at"][-1]
    others = {key: write for writer in writers for key, write in writer.last.items()}
    history = {key: events for writer in writers for key, events in writer.history.items()}
    counts = [len(others), 0, 0, len(listed), sum(writer.told for writer in writers)]
    for key, (value, index) in others.items():
        holds, written, said = there.get(key), value and value.decode(), source.get(key)
        where = f"{key} (written at {index}, looks at {result['compared_at']}, exit {push.returncode}, end {result['index']}, force {force})"
        if holds == written and holds != said:
            counts[1] += 1
            require(index > result["index"] or key in listed, f"{where} stands and is not listed: the push claims it is as SOURCE has it")
        elif holds == said:
            counts[2] += holds != written
            seen = index <= last_look or value is None and any(
                absent_at(look, history[key], key not in old) for look in result["compared_at"])
            require(force or holds == written or seen, f"{where} was replaced unseen: {written!r} by {said!r}")
        else:
            raise Failure(f"{where} holds {holds!r}, which is neither {written!r} nor {said!r}")
    for key in set(there) | set(source) | set(old):
        if key not in others and push.returncode == 0:
            require(there.get(key) == source.get(key), f"{key}, which nobody else wrote, holds {there.get(key)!r}")
    return counts


if __name__ == "__main__":
    main(law)
