"""A peer that stops reading costs the other side at most 4 MiB of anonymous memory, and goes on where it stopped.
What counts is RssAnon of a server at rest before and after: at work a heap keeps up to 4 MiB free for what comes next.
A first session costs up to 2 MiB beside that, once.

A client in the middle of a pull: one that gives no more credit, and one whose socket fills; 16 of each, and
beside them others get and put. A server that takes a push and stops reading; one that is stopped and continued.

  --clients N          stalled clients (16)
  --looks N            how often one client alone is looked at; the median counts (3)
  --latency N          also: p99 of N gets and puts beside them, interleaved with as many without (law: < 1.2 x)
  --give-up            also: a server that never goes on; the push ends with exit 4 (about 90 s)
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, main, require, rss_anon, run, scratch, status, wait_until
from raw_http2 import EMPTY_ROOT, GET, PUT, SYNC, Peer, StillServer, field, hello, message

MOST = 4 << 20
# A first session costs once more than each further one, whatever their number.
ONCE = 2 << 20


def keyspace(path, entries, size):
    """Values that do not compress, so that what is unsent is as large as what is unread."""
    with open(path, "w") as out:
        for place in range(entries):
            out.write(f'{{"key":"user/{place:09d}","value":"{os.urandom(size // 2).hex()}"}}\n')


def start_pull(server, reads_socket):
    """A pull that has begun: either no credit is left of 1 MiB, or nobody reads the socket."""
    if reads_socket:
        peer = Peer(server, window=1 << 20)
    else:
        peer = Peer(server, window=64 << 20, receive_buffer=64 << 10)
        peer.h2.increment_flow_control_window(64 << 20)
    peer.open(SYNC, message(hello(2, root=EMPTY_ROOT, credit=64 << 20)), end=False)
    if reads_socket:
        peer.link.settimeout(0.1)
        try:
            while peer.read():
                pass
        except TimeoutError:
            pass
    return peer


def settled(sample, quiet=0.5, most=10):
    """The value of `sample` when it has not risen for a while."""
    end = time.monotonic() + most
    highest, since = sample(), time.monotonic()
    while time.monotonic() - since < quiet and time.monotonic() < end:
        time.sleep(0.05)
        now = sample()
        if now > highest + (64 << 10):
            highest, since = now, time.monotonic()
    return max(highest, sample())


def at_rest(sample, quiet=3, most=20):
    """The value of `sample` when it has neither risen nor fallen for a while: the heap has been given back."""
    end = time.monotonic() + most
    value, since = sample(), time.monotonic()
    while time.monotonic() - since < quiet and time.monotonic() < end:
        time.sleep(0.05)
        now = sample()
        if abs(now - value) > 64 << 10:
            value, since = now, time.monotonic()
    return sample()


def latencies(server, count):
    """Seconds of `count` gets and puts in turn, on one connection."""
    found = []
    with Peer(server) as peer:
        peer.settle()
        for place in range(count):
            path, body = (GET, field(2, b"probe")) if place % 2 else (PUT, field(2, b"probe") + field(3, b"v" * 100))
            started = time.perf_counter()
            answer = peer.until_ended(peer.open(path, message(body)))
            found.append(time.perf_counter() - started)
            require(answer.get("grpc-status") == "0", f"beside stalled clients: {answer}")
    return found


def p99(seconds):
    return statistics.quantiles(seconds, n=100)[98]


def end(peers, server):
    for peer in peers:
        peer.close()
    peers.clear()
    wait_until(lambda: not status(server)["sessions"], 20, "the sessions to end")


def cost(server, clients, reads_socket, peers):
    """Bytes that each of so many stalled clients adds to a server at rest; they are left in `peers`."""
    base = at_rest(lambda: rss_anon(server.pid))
    peers += [start_pull(server, reads_socket) for _ in range(clients)]
    return (at_rest(lambda: rss_anon(server.pid)) - base) / clients


def stalled_pulls(server, clients, looks, probes):
    figures = []
    for reads_socket, name in ((True, "without credit"), (False, "unread sockets")):
        run("pull", server.data_dir.parent / "out.ndjson", server=server)  # buffers and caches have their size
        peers = []
        try:
            for count, times in ((1, looks), (clients, 1)):
                grown = []
                for _ in range(times):
                    end(peers, server)
                    grown.append(cost(server, count, reads_socket, peers))
                each = statistics.median(grown)
                mib = ", ".join(f"{one / (1 << 20):.2f}" for one in sorted(grown))
                require(count * each <= count * MOST + ONCE, f"{count} {name}: {mib} MiB each")
                figures.append(f"{count} {name} {each / (1 << 20):.2f} MiB each" + (f" ({mib})" if times > 1 else ""))
            require(len(status(server)["sessions"]) == clients, "the sessions are not all open")
            latencies(server, 100)
            if probes:
                figures.append(compared(server, peers, reads_socket, probes))
        finally:
            end(peers, server)
    return figures


def compared(server, peers, reads_socket, probes):
    """p99 with stalled clients over p99 without, in turn; the median of the ratios."""
    ratios = []
    for _ in range(7):
        settled(lambda: rss_anon(server.pid))  # a pull that still fills its queues is at work, not stalled
        beside = p99(latencies(server, probes))
        count = len(peers)
        end(peers, server)
        settled(lambda: rss_anon(server.pid))
        alone = p99(latencies(server, probes))
        peers += [start_pull(server, reads_socket) for _ in range(count)]
        ratios.append(beside / alone)
    ratio = statistics.median(ratios)
    require(ratio < 1.2, f"p99 beside stalled clients rose by {ratio:.2f}: {ratios}")
    return f"p99 x {ratio:.2f}"


def read_so_far(pid):
    """Bytes that a process has read by system calls, and how often it called."""
    lines = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["rchar"])


def push(source, address, keyspace, *more):
    return subprocess.Popen(
        [str(BINARY), "push", str(source), "--keyspace", keyspace, "--json", "--server", address, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def unread_push(source):
    """A server that takes some MiB of a push and reads no more: the client holds, and so does its reader."""
    with StillServer() as still:
        # As much as the credit allows on the way, whatever is acknowledged.
        client = push(source, still.address, "default", "--policy", "fixed")
        try:
            still.await_hello()  # the source is scanned, nothing is sent
            base = settled(lambda: rss_anon(client.pid))
            still.say_hello()
            try:
                still.take(8 << 20)
            except ConnectionError as error:
                require(False, f"{error}: {client.communicate()}")
            wait_until(still.has_data, 10, "more of the push")
            before = rss_anon(client.pid)
            whole = settled(lambda: rss_anon(client.pid)) - base
            grown = whole + base - before
            read = read_so_far(client.pid)
            time.sleep(1)
            require(read_so_far(client.pid) - read < 64 << 10, "the client reads on while nothing is taken")
            require(client.poll() is None, f"the client gave up at once: {client.communicate()}")
        finally:
            client.kill()
            client.communicate()
    require(grown <= MOST, f"a server that does not read costs its client {grown / (1 << 20):.2f} MiB")
    return f"a pushing client {grown / (1 << 20):.2f} MiB ({whole / (1 << 20):.2f} since its hello)"


def stopped_server(server, source, gives_up):
    """SIGSTOP in the middle of a push, SIGCONT: it ends well. Without SIGCONT: exit 4 in bounded time."""
    client = push(source, server.address, "stopped")
    wait_until(lambda: any(each["bytes_received"] > 1 << 20 for each in status(server)["sessions"]), 20, "the push")
    os.kill(server.pid, signal.SIGSTOP)
    try:
        before = rss_anon(client.pid)
        # Levels that are being tried have contexts of their own, which go when they are idle: the highest moment
        # may have as much again.
        highest = settled(lambda: rss_anon(client.pid), quiet=2) - before
        grown = at_rest(lambda: rss_anon(client.pid)) - before
    finally:
        os.kill(server.pid, signal.SIGCONT)
    out, err = client.communicate(timeout=60)
    require(client.returncode == 0, f"the push after SIGCONT: exit {client.returncode} {err}")
    require(grown <= MOST, f"a stopped server costs its client {grown / (1 << 20):.2f} MiB")
    require(highest <= 2 * MOST, f"a stopped server costs its client {highest / (1 << 20):.2f} MiB for a moment")
    require(json.loads(out)["conflicts"] == 0, f"conflicts: {out}")
    figures = [f"beside a stopped server {grown / (1 << 20):.2f} MiB"]
    if gives_up:
        os.kill(server.pid, signal.SIGSTOP)
        started = time.monotonic()
        try:
            done = run("push", source, "--keyspace", "never", server=server, codes=(4,), timeout=150)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        figures.append(f"gave up after {time.monotonic() - started:.0f} s: {done.stderr.strip()}")
    return figures


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--looks", type=int, default=3)
    parser.add_argument("--entries", type=int, default=40_000)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--latency", type=int, default=0)
    parser.add_argument("--give-up", action="store_true")
    options = parser.parse_args()
    with scratch() as work:
        work = pathlib.Path(work)
        source = work / "source.ndjson"
        keyspace(source, options.entries, options.size)
        with Server(work / "data") as server:
            run("push", source, server=server)
            server.stop()
            server.start()  # its heap is as small as it gets: what a stalled peer takes shows
            pid = server.pid
            figures = stalled_pulls(server, options.clients, options.looks, options.latency)
            figures.append(unread_push(source))
            figures += stopped_server(server, source, options.give_up)
            require(server.process.poll() is None and server.pid == pid, "not the same process")
            require(server.stop() == 0, "it did not stop well")
    return "; ".join(figures)


if __name__ == "__main__":
    main(law)
