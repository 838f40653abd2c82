"""Peers that mean harm, one attack after the other against one server: each is cut or bounded and told why, the
process stays the same, an honest put and get work at once, memory stays bounded, and nothing is lost.

  --scale 16    the full size (tools/bench fire); 1 otherwise
"""

import argparse
import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, rss_anon, run, scratch, status, wait_until
from raw_http2 import (
    CONTINUATION, DATA, EMPTY_ROOT, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GET, HEADERS, PING, PREFACE, PRIORITY,
    PROTOCOL_ERROR, PUT, RST_STREAM, SCAN, SETTINGS, SYNC, WINDOW_UPDATE, Peer, chunk, dial, field, frame, hello, last_goaway, message,
    number, plain_block, request, send_until_closed, varint)

# MiB of anonymous memory that all attacks together may leave behind or take at their height.
MOST_MIB = 128


def opening(block_of=GET, stream=1, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, plain_block(request(block_of)))


def flood(server, frames, wanted=ENHANCE_YOUR_CALM):
    """Sends `frames` for as long as they are taken: the connection must end with GOAWAY."""
    with dial(server) as link:
        link.sendall(PREFACE + frame(SETTINGS))
        got = send_until_closed(link, frames)
    require(last_goaway(got) == wanted, f"wanted GOAWAY {wanted}, got {last_goaway(got)} at the end of {len(got)} bytes")


def rapid_resets(server, scale):
    def frames():
        for place in range(100_000):
            stream = 2 * place + 1
            yield opening(stream=stream) + frame(RST_STREAM, 0, stream, (8).to_bytes(4, "big"))

    flood(server, frames())


def honest_cancels(server, scale):
    """1 500 quick cancels on one connection, and the connection still serves."""
    with Peer(server) as peer:
        peer.settle()
        for _ in range(1500):
            stream = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(stream, request(GET))
            peer.h2.reset_stream(stream, 8)
            peer.flush()
        answer = peer.until_ended(peer.open(GET, message(field(2, b"kept"))))
        require(answer.get("grpc-status") == "0", f"after 1 500 cancels: {answer}, GOAWAY {peer.goaway}")


def idle_floods(server, scale):
    """Frames that carry nothing, of each kind, on a connection that reads what comes."""
    zero_update = (1).to_bytes(4, "big")
    kinds = {
        "ping": frame(PING, 0, 0, bytes(8)),
        "settings": frame(SETTINGS),
        "settings churn": frame(SETTINGS, 0, 0, b"\0\4\0\0\xff\xff\0\4\0\1\0\0"),
        "window updates": frame(WINDOW_UPDATE, 0, 1, zero_update),
        "priority": frame(PRIORITY, 0, 1, b"\0\0\0\0\7"),
        "empty data": frame(DATA, 0, 1),
    }
    for name, one in kinds.items():
        try:
            flood(server, [opening(PUT)] + [one * 1000] * 1000)
        except Exception as failure:
            require(False, f"{name}: {failure}")


def header_floods(server, scale):
    """Headers without end, by CONTINUATION, also empty ones; and a table that is asked to grow."""
    flood(server, [opening(flags=0)] + [frame(CONTINUATION, 0, 1, bytes(0)) * 100] * 100, wanted=PROTOCOL_ERROR)
    field_of_nothing = b"\0\1a\0" * 1000
    flood(server, [opening(flags=0)] + [frame(CONTINUATION, 0, 1, field_of_nothing)] * 100)
    huge_table = frame(SETTINGS, 0, 0, b"\0\1" + (1 << 30).to_bytes(4, "big"))
    with Peer(server) as peer:
        peer.link.sendall(huge_table)
        answer = peer.until_ended(peer.open(GET, message(field(2, b"kept"))))
        require(answer.get("grpc-status") == "0", f"a header table of 1 GiB: {answer}")


def unread_answers(server, scale):
    """1 000 gets of 1 MiB on one connection that gives no credit: the answers are not made in advance."""
    run("put", "large", "-", server=server, stdin="x" * 1_000_000)
    before = rss_anon(server.pid)
    with Peer(server) as peer:
        peer.settle()
        block = message(field(2, b"large"))
        for _ in range(999):
            peer.open(GET, block)
        for _ in range(20):
            peer.settle()
        grown = rss_anon(server.pid) - before
        require(grown < 48 << 20, f"answers that nobody reads took {grown >> 20} MiB")
        answer = Peer(server).until_ended_of(GET, block)
        require(answer.get("grpc-status") == "0", f"another client: {answer}")


def unread_scans(server, scale):
    """Scans on one connection that gives no credit: each may have a page on its way, and no more."""
    before = rss_anon(server.pid)
    with Peer(server) as peer:
        peer.settle()
        for _ in range(40):
            peer.open(SCAN, message(b""))
        for _ in range(20):
            peer.settle()
        grown = rss_anon(server.pid) - before
        require(grown < 64 << 20, f"40 scans that nobody reads took {grown >> 20} MiB")


LONG = message(field(1, b"long"))


def stalled_scans(server, scale):
    """Scans over values of 1 MB that nobody reads, 900 on a connection and 100 on each of 20; and such whose pages are
    read but for their last bytes. What a connection holds is bounded, and what all hold; others are served meanwhile."""
    whole = run("scan", "--keyspace", "long", server=server).stdout
    stall_scans(server, whole, peers=1, streams=900, most=32)
    stall_scans(server, whole, peers=20, streams=100, most=300)
    # A page is 1 000 000 bytes and some; all but a few of them leave.
    stall_scans(server, whole, peers=1, streams=60, window=1_000_000, most=32)
    crowd_of_scans(server, whole)
    # A client that reads one of its scans after the other is given all of each, whatever the others wait for.
    with Peer(server) as peer:
        peer.settle()
        peer.h2.increment_flow_control_window(1 << 30)
        scans = {peer.open(SCAN, LONG) for _ in range(40)}
        for _ in range(3):
            while not (begun := scans & peer.bodies.keys()):
                require(peer.read(), "the connection was closed")
            stream = max(begun)
            scans.remove(stream)
            peer.h2.acknowledge_received_data(len(peer.bodies[stream]), stream)
            peer.flush()
            answer = peer.until_ended(stream, credit=stream)
            require(answer.get("grpc-status") == "0", f"a scan that is read beside 39 that are not: {answer}")
            require(len(peer.bodies[stream]) > 24_000_000, f"not all of a scan: {len(peer.bodies[stream])} bytes")


def crowd_of_scans(server, whole):
    """So many connections that the server's bound is met: scans are refused, by words and for a short while alone."""
    before = rss_anon(server.pid)
    attackers = []
    try:
        for _ in range(160):
            peer = Peer(server)
            attackers.append(peer)
            peer.settle()
            peer.h2.increment_flow_control_window(1 << 30)
            for _ in range(5):
                peer.open(SCAN, LONG)
            peer.settle()
        grown = (rss_anon(server.pid) - before) >> 20
        require(grown < 300, f"scans on 160 connections took {grown} MiB")
        require(run("get", "kept", server=server, timeout=10).stdout == "safe", "a get beside scans on 160 connections")
        scan = lambda: run("scan", "--keyspace", "long", server=server, codes=(0, 5), timeout=20)
        wait_until(lambda: scan().stdout == whole, 30, "a scan beside those on 160 connections")
    finally:
        for peer in attackers:
            peer.close()
    wait_until(lambda: status(server)["counters"]["connections_open"] < 3, 30, "the attackers' connections to close")


def stall_scans(server, whole, peers, streams, most, window=65535):
    before = height = rss_anon(server.pid)
    attackers = []
    try:
        for _ in range(peers):
            peer = Peer(server, window=window)
            attackers.append(peer)
            peer.settle()
            peer.h2.increment_flow_control_window(1 << 30)
            for place in range(streams):
                peer.open(SCAN, LONG)
                if place % 50 == 49:
                    peer.settle()
                    peer.bodies.clear()
            height = max(height, rss_anon(server.pid))
        for _ in range(20):
            for peer in attackers:
                peer.settle()
                peer.bodies.clear()
            height = max(height, rss_anon(server.pid))
        where = f"{peers} x {streams} scans that nobody reads to the end"
        require(run("get", "kept", server=server, timeout=10).stdout == "safe", f"a get beside {where}")
        require(run("scan", "--keyspace", "long", server=server, timeout=20).stdout == whole, f"a scan beside {where}")
        get = attackers[0].open(GET, message(field(2, b"kept")))
        answer = attackers[0].until_ended(get, credit=False)
        require(answer.get("grpc-status") == "0", f"a get on one connection with {where}: {answer}")
        grown = (max(height, rss_anon(server.pid)) - before) >> 20
        require(grown < most, f"{where} took {grown} MiB")
    finally:
        for peer in attackers:
            peer.close()
    wait_until(lambda: status(server)["counters"]["connections_open"] < 3, 30, "the attackers' connections to close")


def unfinished_requests(server, scale):
    """Requests of 4 MiB on 64 streams that never end: what is held of them is bounded, and the calls say so."""
    before = rss_anon(server.pid)
    most = 0
    with Peer(server, timeout=30) as peer:
        peer.settle()
        body = message(bytes(3 << 20), length=4 << 20)
        streams = []
        for _ in range(40):
            stream = peer.open(PUT, body, end=False)
            streams.append(stream)
            most = max(most, rss_anon(server.pid) - before)
        while not any("grpc-status" in peer.heads.get(stream, {}) for stream in streams):
            require(peer.read(), "the connection closed instead of the call")
        refused = next(stream for stream in streams if "grpc-status" in peer.heads.get(stream, {}))
        require(peer.heads[refused]["grpc-status"] == "8", f"{peer.heads[refused]}")
    require(most < 100 << 20, f"unfinished requests took {most >> 20} MiB")


def silent_crowd(server, scale):
    """1 500 connections that say nothing do not keep anybody out, not even for the time a preface may take."""
    links = [dial(server) for _ in range(1500)]
    started = time.monotonic()
    run("put", "crowd", "out", server=server, timeout=8)
    require(run("get", "crowd", server=server, timeout=8).stdout == "out", "a get beside 1 500 silent connections")
    require(time.monotonic() - started < 8, "a put and a get took as long as a silent connection may")
    evicted = status(server)["counters"]["connections_evicted"]
    require(evicted > 0, "nobody gave way")
    for link in links:
        link.close()


def expanding_chunk(server, scale):
    """zstd that expands to 8 GiB from 256 KiB, declared as 1 MiB: DATA_LOSS, and no more memory than declared."""
    bomb = b"\x28\xb5\x2f\xfd\x00\x50" + b"\x02\x00\x10\x00" * (64 << 10)
    for declared, wanted in ((1 << 20, "15"), (100, "15"), (2 << 20, "5 8 9")):
        answer = sync(server, chunk(1, 1, declared, bomb, codec=1, new_frame=True))
        require(answer.get("grpc-status") in wanted.split(), f"a bomb declared as {declared}: {answer}")


def empty_chunks(server, scale):
    """Chunks of nothing, without end."""
    one = chunk(1, 1, 0, b"")
    answer = sync(server, one, *[chunk(place, 1, 0, b"") for place in range(2, 50)])
    require(answer.get("grpc-status") not in (None, "0"), f"chunks of nothing: {answer}")


def repeated_expands(server, scale):
    """The same part asked for again and again: the number of questions of a round is bounded."""
    with Peer(server) as peer:
        stream = peer.open(SYNC, message(hello(1, "attacked", 1, session=bytes(range(16)), root=bytes(32))), end=False)
        asked = 0
        while stream not in peer.ended and asked < 200_000:
            body = b""
            for _ in range(200):
                asked += 1
                release = field(6, varint(asked - 1)) if asked > 1 else b""
                body += message(field(7, number(1, asked) + number(2, 0) + field(4, b"\0") + field(5, b"\1") + release))
            peer.send(stream, body)
            peer.settle(credit=True)
        require(peer.heads.get(stream, {}).get("grpc-status") not in (None, "0"), f"{asked} questions about one part were answered")


def sync(server, *chunks):
    """A push to a keyspace of its own, with what follows its hello. Returns how the call ended."""
    with Peer(server) as peer:
        opening = hello(1, "attacked", 1, session=bytes(range(16)), root=bytes(32))
        stream = peer.open(SYNC, message(opening) + b"".join(message(each) for each in chunks), end=False)
        return peer.until_ended(stream)


ATTACKS = [
    rapid_resets, honest_cancels, idle_floods, header_floods, unread_answers, unread_scans, stalled_scans,
    unfinished_requests, silent_crowd, expanding_chunk, empty_chunks, repeated_expands]


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--only", help="one attack by its name")
    options = parser.parse_args()
    with scratch() as work:
        work = pathlib.Path(work)
        with open(work / "many.ndjson", "w") as out:
            for place in range(20_000):
                out.write(f'{{"key":"many/{place:06d}","value":"{"v" * 200}"}}\n')
        with open(work / "long.ndjson", "w") as out:
            for place in range(24):
                out.write(f'{{"key":"long/{place:02d}","value":"{place:02d}{"v" * 999_998}"}}\n')
        with Server(work / "data") as server:
            run("push", work / "many.ndjson", server=server)
            run("push", work / "long.ndjson", "--keyspace", "long", server=server)
            run("scan", "--keyspace", "long", server=server)
            run("put", "kept", "safe", server=server)
            pid, base = server.pid, rss_anon(server.pid)
            for attack in ATTACKS:
                if options.only not in (None, attack.__name__):
                    continue
                for _ in range(options.scale):
                    attack(server, options.scale)
                    name = attack.__name__.replace("_", " ")
                    require(server.process.poll() is None and server.pid == pid, f"{name}: not the same process")
                    run("put", "after", name, server=server, timeout=10)
                    require(run("get", "after", server=server, timeout=10).stdout == name, f"{name}: no get after it")
                    grown = (rss_anon(pid) - base) >> 20
                    require(grown < MOST_MIB, f"{name}: memory grew by {grown} MiB")
            require(run("get", "kept", server=server).stdout == "safe", "a value is gone")
            entries = status(server)["keyspaces"]
            require(next(each["entries"] for each in entries if each["name"] == "default") >= 20_002, f"entries are gone: {entries}")
            wait_until(lambda: status(server)["counters"]["connections_open"] < 3, 30, "the attackers' connections to close")
            require(server.stop() == 0, "it did not stop well")
    return f"{len(ATTACKS)} attacks, same process, at most {MOST_MIB} MiB more"


if __name__ == "__main__":
    main(law)
