"""A sender of StreamDiff sessions on stock grpcio, written from the comments of Protos/ alone: it stands for any
client in another language. What it computes (digests, roots, checksums, the encoding of operations) is here too.
"""

import collections
import hashlib
import importlib
import os
import secrets
import sys
import threading
import time

import grpc
import grpc_tools.protoc
from streamdiff_tools import ROOT, Failure, require


def generate_stubs(folder):
    protos = os.path.join(ROOT, "Protos")
    names = [f"streamdiff/v1/{name}.proto" for name in ("common", "keyvalue", "group", "streamdiff")]
    arguments = ["protoc", f"--proto_path={protos}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if grpc_tools.protoc.main(arguments + names) != 0:
        sys.exit("grpc_tools.protoc refused Protos/")
    sys.path.insert(0, folder)
    importlib.invalidate_caches()


# What streamdiff.proto specifies.

CRC_TABLE = []
for index in range(256):
    for _ in range(8):
        index = index >> 1 ^ (0x82F63B78 if index & 1 else 0)
    CRC_TABLE.append(index)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def little(value, size):
    return value.to_bytes(size, "little")


def entry_digest(key, value):
    return sha256(b"\x02", little(len(key), 4), key, little(len(value), 4), sha256(value))


def root(entries):
    """entries: [(key, digest)] in key order."""
    if len(entries) <= 64:
        return sha256(b"\x00", *(digest for _, digest in entries))
    cut = min(range(1, len(entries)), key=lambda place: (sha256(entries[place][0])[:8], entries[place][0]))
    return sha256(b"\x01", root(entries[:cut]), root(entries[cut:]))


def root_of(content):
    return root([(key, entry_digest(key, content[key])) for key in sorted(content)])


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def put_if_absent(key, value):
    return b"\x01" + varint(len(key)) + key + b"\x01" + varint(len(value)) + value


def chunk(sync, sequence, plain, first_ordinal, is_last):
    """A chunk of codec NONE."""
    header = sync.ChunkHeader(
        first_ordinal=first_ordinal, plain_length=len(plain), codec=sync.NONE, plain_crc32c=crc32c(plain)
    )
    fields = (
        little(sequence, 8) + little(first_ordinal, 8) + little(len(plain), 4) + bytes([sync.NONE, 2 * is_last])
        + little(0, 4) + little(header.plain_crc32c, 4) + little(len(plain), 4)
    )  # fmt: skip
    header.wire_crc32c = crc32c(fields + plain)
    return sync.StreamDiffRequest(
        diff_patch=plain, sequence_id=sequence, is_last_chunk=is_last, chunk=header, estimated_rtt_ms=1
    )


def put(key, value, expected):
    """`expected` is the digest to replace, or None where the key must be absent."""
    condition = b"\x01" if expected is None else b"\x02" + expected
    return b"\x01" + varint(len(key)) + key + condition + varint(len(value)) + value


class Counters:
    """Operations that increment counters in turn: each expects what the one before it left there."""

    def __init__(self, operations, counters, name=b"counter"):
        self.operations, self.counters, self.name = operations, counters, name

    def key(self, counter):
        return b"%s/%06d" % (self.name, counter)

    def operation(self, ordinal):
        count, counter = divmod(ordinal - 1, self.counters)
        key = self.key(counter)
        expected = entry_digest(key, b"%d" % count) if count else None
        return put(key, b"%d" % (count + 1), expected)

    def content(self):
        """What is there when each operation was applied once."""
        whole, rest = divmod(self.operations, self.counters)
        counts = ((counter, whole + (counter < rest)) for counter in range(self.counters))
        return {self.key(counter): b"%d" % count for counter, count in counts if count}


class Connection:
    """One Sync call of a session: hello, operations from where the receiver is, seal."""

    CHUNK_OPERATIONS = 20
    UNACKNOWLEDGED = 400  # operations; far below any receiver's credit

    def __init__(self, client):
        self.client, self.sync = client, client.sync
        self.changed = threading.Condition()
        self.hello = None
        self.acknowledged = 0
        self.over = False

    def requests(self):
        client = self.client
        yield self.sync.StreamDiffRequest(
            hello=self.sync.Hello(
                role=self.sync.SENDER, version=1, keyspace=client.keyspace, kind=client.plain,
                session=client.session, resumes=client.greeted,
            )  # fmt: skip
        )
        with self.changed:
            self.changed.wait_for(lambda: self.hello or self.over)
            if self.over:
                return
            ordinal = self.hello.last_ordinal + 1
        source = client.source
        while True:
            last = min(ordinal + self.CHUNK_OPERATIONS - 1, source.operations)
            plain = b"".join(source.operation(each) for each in range(ordinal, last + 1))
            client.sequence += 1
            yield chunk(self.sync, client.sequence, plain, ordinal, last == source.operations)
            if last == source.operations:
                break
            ordinal = last + 1
            with self.changed:
                self.changed.wait_for(lambda: self.over or ordinal - self.acknowledged <= self.UNACKNOWLEDGED)
                if self.over:
                    return
        with self.changed:
            self.changed.wait_for(lambda: self.over)

    def run(self, call):
        try:
            for message in call:
                kind = message.WhichOneof("control")
                with self.changed:
                    if kind == "hello":
                        self.hello = message.hello
                        self.acknowledged = message.hello.last_ordinal
                        self.client.greet(message.hello)
                    elif kind == "ack":
                        self.acknowledged = message.ack.ordinal
                        self.client.acknowledge(message.ack)
                    elif kind == "seal_result":
                        self.over = True
                        self.client.sealed = message.seal_result
                    self.changed.notify_all()
            return self.client.sealed is not None
        finally:
            with self.changed:
                self.over = True
                self.changed.notify_all()


class SyncClient:
    """Brings the operations of `source` in one session, over as many connections as it takes."""

    PATIENCE = 20  # seconds without any progress

    def __init__(self, address, keyspace, source):
        module = lambda name: importlib.import_module(f"streamdiff.v1.{name}")
        self.sync, self.plain = module("streamdiff_pb2"), module("common_pb2").PLAIN
        self.stub = module("streamdiff_pb2_grpc").StreamDiffStub
        self.address, self.keyspace, self.source = address, keyspace, source
        self.session = secrets.token_bytes(16)
        self.sequence = 0
        self.greeted = False
        self.acknowledged = 0
        self.conflicts = 0
        self.connections = 0
        self.sealed = None
        self.progressed = time.monotonic()
        self.events = collections.deque(maxlen=20)  # what happened last, for a failure's words

    def greet(self, hello):
        self.events.append(f"connection {self.connections}: hello {hello.last_ordinal} at {hello.index}")
        require(
            hello.last_ordinal >= self.acknowledged,
            f"operation {self.acknowledged} was acknowledged, and the receiver is at {hello.last_ordinal}: "
            + ", ".join(self.events),
        )
        self.greeted = True
        if hello.last_ordinal > self.acknowledged:
            self.progressed = time.monotonic()
        self.acknowledged = hello.last_ordinal

    def acknowledge(self, ack):
        self.events.append(f"ack {ack.ordinal} at {ack.index}")
        require(ack.ordinal >= self.acknowledged, f"acknowledged {self.acknowledged}, then {ack.ordinal}")
        if ack.ordinal > self.acknowledged:
            self.progressed = time.monotonic()
        self.acknowledged, self.conflicts = ack.ordinal, ack.conflicts

    def run(self):
        """Returns the seal's result."""
        while True:
            self.connections += 1
            # A pool of its own: otherwise grpcio waits before it connects again.
            with grpc.insecure_channel(self.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
                connection = Connection(self)
                try:
                    if connection.run(self.stub(channel).Sync(connection.requests(), timeout=60)):
                        return self.sealed
                    raise Failure("the stream ended well and unsealed")
                except grpc.RpcError as error:
                    self.sealed = None
                    transient = (
                        grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL,
                        grpc.StatusCode.UNKNOWN,
                    )  # fmt: skip
                    require(error.code() in transient, f"{error.code()}: {error.details()}")
                    require(
                        time.monotonic() - self.progressed < self.PATIENCE,
                        f"no progress for {self.PATIENCE} s: {error.code()}: {error.details()}",
                    )
            time.sleep(0.01)
