"""tools/bench merkle_cost: what a writer who chooses keys can make a put cost, in time, beside puts that nobody chose.

usage: merkle_cost.py [--keys N] [--toggles N]

Four keyspaces of N keys: random ones; keys none of which cuts (priorities in the weaker half); a ground path, the
longest rise of priorities among N random keys; and both. In each, keys stronger than all others are put and deleted
in turn, and after each change the root is asked for. How many records and nodes that takes is bounded by
MerkleCostTests; here is the time. Fails when a change with its root costs over LIMIT times an ordinary one.
"""

import argparse
import bisect
import hashlib
import importlib
import json
import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, run, scratch
from sync_client import generate_stubs

import grpc

LIMIT = 10


def priority(key):
    """Of the keys in a range the one whose SHA-256 begins with the smallest bytes cuts it."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def weak(count, numbers):
    found = set()
    while len(found) < count:
        key = f"w{numbers.getrandbits(64):016x}"
        if priority(key) >> 63:
            found.add(key)
    return found


def path(count, numbers):
    """Keys that rise with their priorities: the longest among `count` random ones, about 2 sqrt(count)."""
    keys = sorted(f"p{numbers.getrandbits(64):016x}" for _ in range(count))
    tails, places, before = [], [], []
    for place, key in enumerate(keys):
        value = priority(key)
        at = bisect.bisect_left(tails, value)
        tails[at : at + 1] = [value]
        places[at : at + 1] = [place]
        before.append(places[at - 1] if at else None)
    rise, place = [], places[-1]
    while place is not None:
        rise.append(keys[place])
        place = before[place]
    return set(rise)


def strong(count, numbers):
    """Stronger than any of a million: about one key in 2^16 of those tried, all over the range."""
    found = []
    while len(found) < count:
        key = f"{numbers.choice('pw')}{numbers.getrandbits(64):016x}"
        if priority(key) >> 46 == 0:
            found.append(key)
    return found


class Toggler:
    def __init__(self, server, work):
        generate_stubs(str(work))
        modules = [importlib.import_module(f"streamdiff.v1.{name}") for name in ("keyvalue_pb2", "group_pb2")]
        services = [importlib.import_module(f"{module.__name__}_grpc") for module in modules]
        self.keyvalue, self.group = modules
        channel = grpc.insecure_channel(server.address)
        self.store, self.status = services[0].KeyValueStub(channel), services[1].GroupStub(channel)

    def toggle(self, name, keys, count):
        """Seconds of each put or delete, and of each root after it."""
        changes, roots = [], []
        for number in range(count):
            key = keys[number // 2 % len(keys)].encode()
            started = time.perf_counter()
            if number % 2:
                self.store.Delete(self.keyvalue.DeleteRequest(keyspace=name, key=key))
            else:
                self.store.Put(self.keyvalue.PutRequest(keyspace=name, key=key, value=b"toggled"))
            changed = time.perf_counter()
            self.status.Status(self.group.StatusRequest())
            changes.append(changed - started)
            roots.append(time.perf_counter() - changed)
        return changes, roots


def law():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--toggles", type=int, default=600)
    options = parser.parse_args()
    numbers = random.Random(1)
    chosen = strong(20, numbers)
    ordinary = [f"w{numbers.getrandbits(64):016x}" for _ in range(20)]
    contents = {
        "random": {f"w{numbers.getrandbits(64):016x}" for _ in range(options.keys)},
        "weak": weak(options.keys, numbers),
        "path": path(options.keys, numbers),
    }
    contents["both"] = contents["weak"] | contents["path"]
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            for name, keys in contents.items():
                source = work / f"{name}.ndjson"
                source.write_text("".join(json.dumps({"key": key, "value": key}) + "\n" for key in keys))
                run("push", source, "--keyspace", name, server=server)
            toggler = Toggler(server, work)
            wholes, lines = {}, []
            for name, toggled in [("random", ordinary), *((name, chosen) for name in contents)]:
                changes, roots = toggler.toggle(name, toggled, options.toggles)
                whole = [sum(each) for each in zip(changes, roots)]
                kind = "ordinary" if toggled is ordinary else name
                wholes[kind] = statistics.median(whole)
                lines.append(
                    f"{kind} ({len(contents[name])} keys): put {statistics.median(changes) * 1000:.2f} ms, root "
                    f"{statistics.median(roots) * 1000:.2f} ms, worst together {max(whole) * 1000:.1f} ms")
            ratio = max(wholes.values()) / wholes["ordinary"]
            require(ratio <= LIMIT, f"a chosen key costs {ratio:.1f} times an ordinary one: {'; '.join(lines)}")
            require(server.stop() == 0, "the server did not stop cleanly")
    return f"at most {ratio:.2f} times an ordinary change; " + "; ".join(lines)


if __name__ == "__main__":
    main(law)
