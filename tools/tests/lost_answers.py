#!/usr/bin/env python3
"""Answers that never come or say nothing, and servers that are not there. A write is made once at the first server
of the list that answers; where nobody can tell it ends with exit 4 and says that it may have been made, and a
session that expired meanwhile makes no second one. Every command goes on with the next server of the list; a list of
which none can be reached is exit 4 with every address named, and so is a server that keeps a connection alive and
says nothing.
"""

import pathlib
import socket
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, run, run_json, scratch, status, wait_until

import h2.config
import h2.connection
import h2.events


class Listener:
    """Serves each connection on a thread of its own."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def close(self):
        self.listener.close()


class Closing(Listener):
    """Accepts connections and closes them."""

    def _serve(self, client):
        client.close()


class Deaf(Listener):
    """Hands everything on to a server, and nothing that it answers."""

    def __init__(self, server):
        host, port = server.address.rsplit(":", 1)
        self.target = (host, int(port))
        super().__init__()

    def _serve(self, client):
        with client, socket.create_connection(self.target) as server:
            try:
                while data := client.recv(65536):
                    server.sendall(data)
            except OSError:
                pass


class Answering(Listener):
    """Speaks HTTP/2, answers PINGs, and every request with `body` and status 0; without one, not at all."""

    def __init__(self, body=None):
        self.body = body
        super().__init__()

    def _serve(self, client):
        h2_side = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        h2_side.initiate_connection()
        try:
            with client:
                client.sendall(h2_side.data_to_send())
                while data := client.recv(65536):
                    for event in h2_side.receive_data(data):
                        if isinstance(event, h2.events.StreamEnded) and self.body is not None:
                            head = [(":status", "200"), ("content-type", "application/grpc")]
                            h2_side.send_headers(event.stream_id, head)
                            h2_side.send_data(event.stream_id, self.body)
                            h2_side.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
                    client.sendall(h2_side.data_to_send())
        except OSError:
            pass


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


def refused_elsewhere(server, deaf, work):
    """The first server may have made the write; that another one refuses it says nothing of that."""
    (work / "tree").mkdir()
    with Server(work / "other") as other:
        run("push", work / "tree", server=other)  # its keyspace is a directory's
        done = run("put", "refused", "made", server=At(deaf.address, other.address), codes=(4,))
        require("unknown" in done.stderr and "directory" in done.stderr, f"{done.stderr}")
        require(run("get", "refused", server=server).stdout == "made", "the first server did not make it")
        other.stop()


def expired_meanwhile(work):
    """The session is over and forgotten about before the write is sent again; another client wrote in between."""
    with Server(work / "short", "--session-lifetime", "300ms") as server:
        deaf = Deaf(server)
        found = []
        writer = threading.Thread(
            target=lambda: found.append(run("put", "k", "mine", server=At(deaf.address, server.address), codes=None)))
        writer.start()
        wait_until(lambda: run("get", "k", server=server, codes=(0, 1)).stdout == "mine", 10, "the first attempt")
        run("put", "k", "another's", server=server)
        writer.join()
        deaf.close()
        require(run("get", "k", server=server).stdout == "another's", "an acknowledged put was overwritten by a retry")
        require(found[0].returncode == 4 and "unknown" in found[0].stderr, f"{found}")
        server.stop()


def meaningless(found):
    """Answers that say nothing: whether the write was made is unknown."""
    for name, body in (("no message", b""), ("a long message", b"\0\xff\xff\xff\xff"), ("no protobuf", b"\0\0\0\0\2\x0f\xff")):
        answering = Answering(body)
        done = run("put", "k", "v", server=answering, codes=None)
        if done.returncode != 4 or "unknown" not in done.stderr:
            found.append(f"{name}: exit {done.returncode}: {done.stderr}")
        answering.close()


def goes_on(server, work):
    """Every command goes on with the next server when the first accepts connections and closes them."""
    closing = Closing()
    both = At(closing.address, server.address)
    source = work / "source.ndjson"
    for command in (["push", source, "--keyspace", "on"], ["pull", work / "on", "--keyspace", "on"], ["get", "a", "--keyspace", "on"],
                    ["scan", "--keyspace", "on"], ["status"], ["put", "b", "c"], ["verify", source, "--keyspace", "on"]):  # fmt: skip
        run(*command, server=both)
    closing.close()


def mute(work, found):
    """A server that answers PINGs and nothing else is left in bounded time."""
    server = Answering()
    source = work / "source.ndjson"
    threads = []

    def alone(command):
        try:
            done = run(*command, server=server, codes=None, timeout=150)
        except subprocess.TimeoutExpired as late:
            return found.append(f"{command}: {late}")
        if done.returncode != 4:
            found.append(f"{command}: exit {done.returncode}: {done.stderr}")

    for command in (["get", "k"], ["scan"], ["push", source], ["pull", work / "muted"], ["verify", source]):
        threads.append(threading.Thread(target=alone, args=(command,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    server.close()


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        (work / "source.ndjson").write_text('{"key":"a","value":"b"}\n')
        with Server(work / "data") as server:
            deaf = Deaf(server)
            unreachable(server, work)
            goes_on(server, work)
            # What takes half a minute or more by its nature goes side by side.
            found = []
            slow = [threading.Thread(target=mute, args=(work, found)), threading.Thread(target=meaningless, args=(found,))]
            for each in slow:
                each.start()
            answered_elsewhere(server, deaf)
            refused_elsewhere(server, deaf, work)
            expired_meanwhile(work)
            unanswered(server, deaf)
            for each in slow:
                each.join()
            require(not found, "; ".join(found))
            deaf.close()
            require(server.stop() == 0, "the server did not stop cleanly")
    return "8 commands name whom they did not reach, 7 go on with the next; what nobody can tell is unknown, 8 ways"


if __name__ == "__main__":
    main(law)
