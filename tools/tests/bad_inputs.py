"""The table of bad inputs: for each the bytes sent and the exact answer, and the same server process before
and after. Speaks HTTP/2 through h2 with its outbound checks off, and bare sockets where even that is too polite.
"""

import os
import pathlib
import socket
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, main, require, run, scratch, status

import h2.config
import h2.connection
import h2.events

GET = "/streamdiff.v1.KeyValue/Get"
PUT = "/streamdiff.v1.KeyValue/Put"


def head(path=GET, method="POST", content_type="application/grpc", extra=()):
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", content_type), ("te", "trailers"), *extra]


def message(payload, flag=0, length=None):
    return bytes([flag]) + (len(payload) if length is None else length).to_bytes(4, "big") + payload


def call(server, headers, body=None, end=True):
    """One stream on a fresh connection. Returns the response's head and trailers as one dict, or how it ended."""
    host, port = server.address.rsplit(":", 1)
    config = h2.config.H2Configuration(
        client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8")
    connection = h2.connection.H2Connection(config)
    answer = {}
    with socket.create_connection((host, int(port)), timeout=15) as link:
        connection.initiate_connection()
        link.sendall(connection.data_to_send())
        connection.send_headers(1, headers, end_stream=body is None)
        rest = body or b""
        sent = body is None
        while True:
            room = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size)
            while not sent and (room > 0 or not rest):
                part, rest = rest[:room], rest[room:]
                connection.send_data(1, part, end_stream=end and not rest)
                sent = not rest
                room = min(connection.local_flow_control_window(1), connection.max_outbound_frame_size)
            link.sendall(connection.data_to_send())
            data = link.recv(65536)
            if not data:
                break
            for event in connection.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    answer.update(event.headers)
                elif isinstance(event, h2.events.StreamReset):
                    answer.setdefault("reset", str(int(event.error_code)))
                    return answer
                elif isinstance(event, h2.events.ConnectionTerminated):
                    answer.setdefault("goaway", str(int(event.error_code)))
                elif isinstance(event, h2.events.StreamEnded):
                    return answer
    answer["closed"] = "yes"
    return answer


def raw(server, data):
    """What the server answers to bare bytes until it closes."""
    host, port = server.address.rsplit(":", 1)
    got = b""
    with socket.create_connection((host, int(port)), timeout=15) as link:
        try:
            link.sendall(data)
            while part := link.recv(65536):
                got += part
        except ConnectionResetError:
            pass
    return got


def fields(number, content):
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


# name, headers, body, what the answer must hold
CALLS = [
    ("message length 2 GiB", head(), message(b"", length=(1 << 31) - 1), {"grpc-status": "8"}),
    ("message length 4 GiB - 1", head(), message(b"", length=(1 << 32) - 1), {"grpc-status": "8"}),
    ("compressed flag 1", head(extra=[("grpc-encoding", "gzip")]), message(b"\x1f\x8b", flag=1), {"grpc-status": "12"}),
    ("compressed flag 7", head(), message(b"", flag=7), {"grpc-status": "3"}),
    ("half a message prefix", head(), b"\0\0\0", {"grpc-status": "13"}),
    ("half a message", head(), message(b"abc", length=100), {"grpc-status": "13"}),
    ("no message at all", head(), b"", {"grpc-status": "12"}),
    ("two messages to a unary method", head(), message(fields(2, b"k")) * 2, {"grpc-status": "12"}),
    ("truncated protobuf", head(), message(b"\x12\x7fabc"), {"grpc-status": "3"}),
    ("protobuf of a wrong wire type", head(), message(b"\x10\x01\x15"), {"grpc-status": "3"}),
    ("keyspace that is not UTF-8", head(), message(fields(1, b"\xff\xfe") + fields(2, b"k")), {"grpc-status": "3"}),
    ("keyspace with a slash", head(), message(fields(1, b"a/b") + fields(2, b"k")), {"grpc-status": "3"}),
    ("empty key", head(), message(b""), {"grpc-status": "3"}),
    ("key of 8 KiB + 1", head(PUT), message(fields(2, b"k" * 8193) + fields(3, b"v")), {"grpc-status": "3"}),
    ("value of 1 MiB + 1", head(PUT), message(fields(2, b"k") + fields(3, b"v" * (1048576 + 1))), {"grpc-status": "3"}),
    ("expected digest of 5 bytes", head(PUT), message(fields(2, b"k") + fields(7, b"12345")), {"grpc-status": "3"}),
    ("session of 3 bytes", head(PUT), message(fields(2, b"k") + fields(8, b"123")), {"grpc-status": "3"}),
    ("unknown method", head("/streamdiff.v1.KeyValue/Frobnicate"), message(b""), {":status": "200", "grpc-status": "12"}),
    ("unknown service", head("/nobody.Knows/This"), message(b""), {":status": "200", "grpc-status": "12"}),
    ("path without a method", head("/"), message(b""), {":status": "200", "grpc-status": "12"}),
    ("content-type text/html", head(content_type="text/html"), message(b""), {":status": "415"}),
    ("method GET", head(method="GET"), None, {":status": "405"}),
    ("grpc-timeout of letters", head(extra=[("grpc-timeout", "soon")]), message(fields(2, b"k")), {"grpc-status": "13"}),
    ("headers of 64 KiB", head(extra=[("x-large", "a" * 65536)]), message(b""), {":status": "431"}),
    ("200 headers of 1 KiB", head(extra=[(f"x-{n}", "a" * 1024) for n in range(200)]), message(b""), {"goaway": "11"}),
    ("Sync that starts with a chunk", head("/streamdiff.v1.StreamDiff/Sync"), message(fields(1, b"abc")), {"grpc-status": "3"}),
    ("Sync with truncated protobuf", head("/streamdiff.v1.StreamDiff/Sync"), message(b"\x0a\x7f"), {"grpc-status": "3"}),
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# name, bytes, what the answer must begin with (b"" means: closed without a word)
RAW = [
    ("HTTP/1.1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 4"),
    ("HTTP/1.0 POST", b"POST /streamdiff.v1.KeyValue/Get HTTP/1.0\r\n\r\n", b"HTTP/1.1 4"),
    ("TLS client hello", bytes.fromhex("16030100c8010000c40303") + bytes(200), None),
    ("wrong preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + bytes(64), None),
    ("random bytes", bytes((n * 73 + 41) % 256 for n in range(4096)), None),
    ("preface, then a frame of 16 MiB", PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\xff\xff\xff\0\0\0\0\0\1" + bytes(65536), None),
    ("preface, then DATA on stream 0", PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\1\0\0\0\0\0\0x", None),
    ("preface, then HEADERS that HPACK cannot read", PREFACE + b"\0\0\0\x04\0\0\0\0\0" + b"\0\0\4\1\5\0\0\0\1" + b"\xff\xff\xff\xff", None),
]


def table(server):
    faults = []
    for name, headers, body, wanted in CALLS:
        got = call(server, headers, body)
        if any(got.get(key) != value for key, value in wanted.items()):
            faults.append(f"{name}: wanted {wanted}, got {got}")
        elif "grpc-status" in wanted and not got.get("grpc-message"):
            faults.append(f"{name}: no message that says what to do: {got}")
    for name, data, wanted in RAW:
        got = raw(server, data)
        if wanted is not None:
            if not got.startswith(wanted):
                faults.append(f"{name}: wanted {wanted!r}, got {got[:200]!r}")
        require(run("put", "alive", name, server=server).returncode == 0, f"after {name}: no put")
    require(not faults, "\n  ".join(["wrong answers:", *faults]))


def wrong_usage(work):
    """Flags and files: exit code and a message that names what was wrong."""
    blocked = work / "file"
    blocked.write_text("not a directory")
    faults = []
    rows = [
        (["serve"], 64, "data-dir"),
        (["serve", "--data-dir", work / "d", "--listen", "nonsense:x"], 64, "nonsense"),
        (["serve", "--data-dir", work / "d", "--listen", "127.0.0.1:99999"], 64, "99999"),
        (["serve", "--data-dir", work / "d", "--listen", "0.0.0.0:0"], 5, "insecure"),
        (["serve", "--data-dir", blocked / "data"], 1, str(blocked)),
        (["serve", "--data-dir", "/proc/streamdiff"], 1, "/proc/streamdiff"),
        (["push"], 64, "source"),
        (["push", work / "nothing-there"], 1, "nothing-there"),
        (["get"], 64, "key"),
        (["get", "k", "--keyspace", "a b"], 64, "keyspace"),
        (["get", "k", "--server", "127.0.0.1:1"], 4, "127.0.0.1:1"),
        (["frobnicate"], 64, "frobnicate"),
    ]
    long = "k" * 8193
    rows += [(command, 5, "8192") for command in (["put", long, "v"], ["get", long], ["delete", long], ["scan", long])]
    for arguments, code, names in rows:
        done = run(*arguments, codes=None, timeout=30)
        said = done.stdout + done.stderr
        if done.returncode != code or names.lower() not in said.lower():
            faults.append(f"{arguments}: exit {done.returncode}, wanted {code} and {names!r} named: {said}")
    raw = subprocess.run([str(BINARY), "get", b"k\xff"], capture_output=True, timeout=30)
    if raw.returncode != 64 or b"UTF-8" not in raw.stderr:
        faults.append(f"a key that is not UTF-8: {raw}")
    require(not faults, "\n  ".join(["wrong usage:", *faults]))


def full_output(server):
    """What cannot be written to standard output is a failure, not half an answer."""
    for arguments in (["get", "k"], ["scan"], ["status"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [str(BINARY), *arguments, "--server", server.address],
                stdout=full, stderr=subprocess.PIPE, timeout=30)
        require(done.returncode == 1 and b"No space" in done.stderr, f"{arguments} > /dev/full: {done}")


def lost_log(work):
    """Acknowledged entries that only the log holds: without it the directory is refused, not served empty."""
    data = work / "lost"
    with Server(data) as server:
        run("put", "k", "v", server=server)
        server.kill()
    for file in (data / "wal").iterdir():
        file.unlink()
    done = subprocess.run(
        [str(BINARY), "serve", "--data-dir", str(data), "--listen", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=30)
    require(done.returncode not in (0, 64) and str(data / "wal") in done.stderr, f"a lost log: {done}")


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            pid = server.pid
            run("put", "k", "v", server=server)
            table(server)
            full_output(server)
            run("delete", "k", "--keyspace", "never-made", server=server)
            require(
                all(each["name"] != "never-made" for each in status(server)["keyspaces"]),
                "a deletion made a keyspace")
            require(server.process.poll() is None and server.pid == pid, "the server is not the same process")
            require(run("get", "k", server=server).stdout == "v", "the value is gone")
            second = subprocess.run(
                [str(BINARY), "serve", "--data-dir", str(work / "data"), "--listen", "127.0.0.1:0"],
                capture_output=True, text=True, timeout=30)
            require(second.returncode == 5 and "another process" in second.stderr, f"a second server on one directory: {second}")
            server.stop()
        wrong_usage(work)
        lost_log(work)
    return f"{len(CALLS)} calls, {len(RAW)} raw inputs, same process"


if __name__ == "__main__":
    main(law)
