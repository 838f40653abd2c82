"""Connections are cut at random bytes, and the server is killed, while counters are incremented and a data set is
pushed: no operation is lost or applied twice, and the root is that of the undisturbed run.

usage: exactly_once.py [--cuts N] [--kills N] [--seed S]   (the full size: --cuts 500 --kills 50)
"""

import argparse
import json
import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cutting_proxy import CuttingProxy
from streamdiff_tools import Server, keyspace, main, require, run, run_json, scratch, status
from sync_client import Counters, SyncClient, generate_stubs, root_of


class Through:
    """The proxy's address where a server is asked for."""

    def __init__(self, proxy):
        self.address = proxy.address


def check_counters(server, name, source, client, sealed, where):
    require(sealed.conflicts == 0 and client.conflicts == 0, f"{where}: {sealed.conflicts} conflicts")
    require(client.acknowledged == source.operations, f"{where}: acknowledged only {client.acknowledged}")
    expected = root_of(source.content()).hex()
    require(sealed.root.hex() == expected, f"{where}: sealed {sealed.root.hex()}, not {expected}")
    require(keyspace(server, name)["root"] == expected, f"{where}: the server has another root")


def cut_counters(server, options):
    where = f"seed {options.seed}, {options.cuts} cuts of counters"
    source = Counters(options.cuts * 400, 64)
    before = status(server)["counters"]["operations_applied"]
    # Few bytes a connection, so that there are more connections than cuts are wanted.
    proxy = CuttingProxy(server.address, options.seed, options.cuts, 150, 10_000, 1200)
    client = SyncClient(proxy.address, "cut", source)
    sealed = client.run()
    proxy.close()
    require(proxy.cuts == options.cuts, f"{where}: only {proxy.cuts} were made")
    check_counters(server, "cut", source, client, sealed, where)
    applied = status(server)["counters"]["operations_applied"] - before
    require(applied == source.operations, f"{where}: {applied} applied of {source.operations}")
    return f"{proxy.cuts} cuts over {client.connections} connections of {source.operations} increments"


def killed_counters(server, options):
    where = f"seed {options.seed}, {options.kills} kills"
    moments = random.Random(options.seed)
    source = Counters(options.kills * 6000, 64)
    client = SyncClient(server.address, "killed", source)
    kills = 0

    def kill():
        nonlocal kills
        while kills < options.kills and client.sealed is None:
            time.sleep(moments.uniform(0.02, 0.3))
            if client.sealed is None:
                server.kill()
                kills += 1
                server.start()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        sealed = client.run()
    finally:
        options.kills, wanted = kills, options.kills
        killer.join()
    require(kills >= min(wanted, 2), f"{where}: only {kills} came in time")
    check_counters(server, "killed", source, client, sealed, where)
    return f"{kills} kills over {client.connections} connections of {source.operations} increments"


def cut_push(server, options, work):
    where = f"seed {options.seed}, {options.cuts} cuts of a push"
    source = work / "source.ndjson"
    # Values that do not shrink much: each connection brings at least one whole chunk of 64 KiB, or nothing.
    values = random.Random(options.seed)
    with open(source, "w") as out:
        for number in range(options.cuts * 150):
            out.write(json.dumps({"key": f"user/{number:06d}", "value": values.randbytes(1000).hex()}) + "\n")
    whole = run_json("push", source, "--keyspace", "whole", server=server)
    before = status(server)["counters"]
    proxy = CuttingProxy(server.address, options.seed, options.cuts, 500, 300_000, 20_000)
    report = run_json("push", source, "--keyspace", "pushed", server=Through(proxy))
    proxy.close()
    require(proxy.cuts >= options.cuts // 2, f"{where}: only {proxy.cuts} were made")
    require(report["root"] == whole["root"], f"{where}: root {report['root']}, undisturbed {whole['root']}")
    require(report["conflicts"] == 0, f"{where}: {report['conflicts']} conflicts")
    require(keyspace(server, "pushed")["root"] == whole["root"], f"{where}: the server has another root")
    after = status(server)["counters"]
    applied = after["operations_applied"] - before["operations_applied"]
    require(applied == whole["entries_total"], f"{where}: {applied} applied of {whole['entries_total']}")
    return f"{proxy.cuts} cuts of a push of {applied} entries"


def cut_puts(server, options):
    """A put whose answer is lost is sent again, and applied once."""
    where = f"seed {options.seed}, puts"
    before = status(server)["counters"]
    proxy = CuttingProxy(server.address, options.seed, options.cuts, 60, 1500, 1500)
    for number in range(options.cuts):
        done = run("put", f"key {number}", f"value {number}", "--keyspace", "puts", "--json", server=Through(proxy))
        require(json.loads(done.stdout)["outcome"] == "applied", f"{where}: {done.stdout}")
    proxy.close()
    after = status(server)["counters"]
    applied, skipped = (after[name] - before[name] for name in ("operations_applied", "operations_skipped"))
    require(applied == options.cuts, f"{where}: {applied} applied of {options.cuts}")
    return f"{proxy.cuts} cuts of {options.cuts} puts ({skipped} sent twice)"


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=30)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with scratch() as work:
        work = pathlib.Path(work)
        (work / "stubs").mkdir()
        generate_stubs(str(work / "stubs"))
        with Server(work / "data") as server:
            results = [cut_counters(server, options), cut_push(server, options, work), cut_puts(server, options)]
            results.append(killed_counters(server, options))
            require(server.stop() == 0, "the server did not stop cleanly")
    return "; ".join(results)


if __name__ == "__main__":
    main(law)
