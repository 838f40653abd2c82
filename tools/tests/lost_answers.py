#!/usr/bin/env python3
"""Answers that never come, and servers that are not there. A write is made once at the first server of the list that
answers; where nobody answers in time it ends with exit 4 and says that it may have been made. A list of which none
can be reached is exit 4 with every address named.
"""

import pathlib
import socket
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, run, run_json, scratch, status


class Deaf:
    """Hands everything on to a server, and nothing that it answers."""

    def __init__(self, server):
        host, port = server.address.rsplit(":", 1)
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client):
        with client, socket.create_connection(self.target) as server:
            try:
                while data := client.recv(65536):
                    server.sendall(data)
            except OSError:
                pass

    def close(self):
        self.listener.close()


class At:
    """A list of addresses where a server is asked for."""

    def __init__(self, *addresses):
        self.address = ",".join(addresses)


def closed_ports(count):
    """Addresses where nobody listens."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = ["127.0.0.1:%d" % each.getsockname()[1] for each in listeners]
    for each in listeners:
        each.close()
    return addresses


def unreachable(server, work):
    dead = closed_ports(2)
    source = work / "source.ndjson"
    source.write_text('{"key":"a","value":"b"}\n')
    commands = (["put", "k", "v"], ["get", "k"], ["scan"], ["status"], ["delete", "k"], ["push", source], ["pull", work / "p"], ["verify", source])
    for command in commands[:4]:
        run(*command, server=At(*dead, server.address))
    threads = []
    faults = []

    def alone(command):
        done = run(*command, server=At(*dead), codes=None)
        if done.returncode != 4 or not all(address in done.stderr for address in dead):
            faults.append(f"{command}: exit {done.returncode}: {done.stderr}")

    for command in commands:
        threads.append(threading.Thread(target=alone, args=(command,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    require(not faults, "; ".join(faults))


def unanswered(server, deaf):
    """One server that takes and does not answer, and no other: the write was made, and its client cannot know."""
    found = {}

    def write(name, *arguments):
        found[name] = run(*arguments, server=deaf, codes=None, timeout=120)

    run("put", "to delete", "x", server=server)
    threads = [
        threading.Thread(target=write, args=("put", "put", "unanswered", "once")),
        threading.Thread(target=write, args=("delete", "delete", "to delete")),
        threading.Thread(target=write, args=("json", "put", "said in JSON", "once", "--json")),
    ]
    before = status(server)["counters"]["operations_applied"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, done in found.items():
        require(done.returncode == 4, f"{name}: exit {done.returncode}: {done.stderr}")
        require("unknown" in done.stderr + done.stdout, f"{name}: not said to be unknown: {done}")
    applied = status(server)["counters"]["operations_applied"] - before
    require(applied == 3, f"{applied} operations of 3 were applied: each was sent several times")
    require(run("get", "unanswered", server=server).stdout == "once", "the put was not made")
    require(run("get", "to delete", server=server, codes=(1,)).returncode == 1, "the delete was not made")


def answered_elsewhere(server, deaf):
    """The next server of the list knows the session: the write is made once, and its first answer given."""
    before = status(server)["counters"]
    done = run_json("put", "elsewhere", "once", server=At(deaf.address, server.address))
    require(done["outcome"] == "applied", f"{done}")
    after = status(server)["counters"]
    applied, skipped = (after[name] - before[name] for name in ("operations_applied", "operations_skipped"))
    require((applied, skipped) == (1, 1), f"{applied} applied, {skipped} skipped")


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            deaf = Deaf(server)
            unreachable(server, work)
            answered_elsewhere(server, deaf)
            unanswered(server, deaf)
            deaf.close()
            require(server.stop() == 0, "the server did not stop cleanly")
    return "8 commands name whom they did not reach; a put through a deaf server is made once; 3 writes said to be unknown"


if __name__ == "__main__":
    main(law)
