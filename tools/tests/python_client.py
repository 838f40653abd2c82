#!/usr/bin/env python3
"""A stock gRPC client (grpcio) against `streamdiff serve`.

Its stubs are generated from Protos/ when it starts, and what it computes (digests, roots, checksums,
the encoding of operations) it computes from the comments of Protos/ alone: it stands for any client
in another language. Runs in the environment that tools/setup makes:

  .venv-tools/bin/python tools/tests/python_client.py
"""

import importlib
import pathlib
import secrets
import sys
import tempfile
import threading
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server
from sync_client import chunk, entry_digest, generate_stubs, put_if_absent, root, root_of

TIMEOUT = 20  # seconds; for calls that are expected to end by themselves


class Session:
    """A sender's side of one Sync call, a message at a time."""

    def __init__(self, test, **metadata):
        self.sync, self.plain = test.sync, test.common.PLAIN
        self.outgoing = []
        self.ready = threading.Condition()
        self.call = test.stream_diff.Sync(self.requests(), timeout=TIMEOUT, **metadata)

    def requests(self):
        while True:
            with self.ready:
                while not self.outgoing:
                    self.ready.wait()
                message = self.outgoing.pop(0)
            if message is None:
                return
            yield message

    def send(self, message):
        with self.ready:
            self.outgoing.append(message)
            self.ready.notify()

    def half_close(self):
        self.send(None)

    def hello(self, keyspace, content):
        self.send(
            self.sync.StreamDiffRequest(
                hello=self.sync.Hello(
                    role=self.sync.SENDER, version=1, keyspace=keyspace, kind=self.plain,
                    session=secrets.token_bytes(16), root=root_of(content), entries=len(content),
                    bytes=sum(len(key) + len(value) for key, value in content.items()),
                )  # fmt: skip
            )
        )
        return self.receive("hello").hello

    def receive(self, control):
        """The next message of that kind; hints and acknowledgements before it are passed over."""
        for message in self.call:
            found = message.WhichOneof("control")
            if found == control:
                return message
            assert found in ("ack", "hint"), f"waiting for {control}, got {found}"
        raise AssertionError(f"the stream ended before {control}")


class PythonClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        generate_stubs(cls.folder)
        module = lambda name: importlib.import_module(f"streamdiff.v1.{name}")
        cls.common, cls.kv = module("common_pb2"), module("keyvalue_pb2")
        cls.sync, cls.group = module("streamdiff_pb2"), module("group_pb2")
        cls.server = Server(pathlib.Path(cls.folder) / "data").start()
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.key_value = module("keyvalue_pb2_grpc").KeyValueStub(cls.channel)
        cls.stream_diff = module("streamdiff_pb2_grpc").StreamDiffStub(cls.channel)
        cls.group_stub = module("group_pb2_grpc").GroupStub(cls.channel)
        cls.health = health_pb2_grpc.HealthStub(cls.channel)

    @classmethod
    def tearDownClass(cls):
        code = cls.server.stop()
        cls.channel.close()
        if code != 0:
            raise AssertionError(f"after SIGTERM the server exits with {code}, not 0\n{cls.server.messages()}")

    def assertStatus(self, code, call, *arguments, **keywords):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, timeout=TIMEOUT, **keywords)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception

    # Standard services

    def test_health_check_answers_for_the_server_and_its_services(self):
        for name in ("", "streamdiff.v1.KeyValue", "streamdiff.v1.StreamDiff", "streamdiff.v1.Group"):
            answer = self.health.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING, name)
        request = health_pb2.HealthCheckRequest(service="no.such.Service")
        self.assertStatus(grpc.StatusCode.NOT_FOUND, self.health.Check, request)

    def test_health_watch_says_how_it_is_at_once_and_stays_open(self):
        watch = self.health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=TIMEOUT)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        self.assertTrue(watch.is_active())
        watch.cancel()
        watch = self.health.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"), timeout=TIMEOUT)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()

    def test_reflection_v1alpha_describes_every_service(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        services = set(database.get_services())
        expected = {"streamdiff.v1.StreamDiff", "streamdiff.v1.KeyValue", "streamdiff.v1.Group"}
        self.assertLessEqual(expected | {"grpc.health.v1.Health"}, services)
        pool = descriptor_pool.DescriptorPool(database)
        methods = pool.FindServiceByName("streamdiff.v1.KeyValue").methods_by_name
        self.assertTrue(methods["Scan"].server_streaming)
        self.assertEqual(methods["Get"].input_type.fields_by_name["key"].number, 2)
        with self.assertRaises(KeyError):
            database.FindFileContainingSymbol("no.such.Symbol")

    def test_reflection_v1_has_the_same_bytes(self):
        call = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="streamdiff.v1.StreamDiff"),
            reflection_pb2.ServerReflectionRequest(file_by_filename="no/such.proto"),
        ]
        services, symbol, missing = call(iter(requests), timeout=TIMEOUT)
        names = [service.name for service in services.list_services_response.service]
        self.assertIn("grpc.reflection.v1.ServerReflection", names)
        files = [
            descriptor_pb2.FileDescriptorProto.FromString(file).name
            for file in symbol.file_descriptor_response.file_descriptor_proto
        ]
        self.assertEqual(files, ["streamdiff/v1/streamdiff.proto", "streamdiff/v1/common.proto"])
        self.assertEqual(missing.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])

    # Single keys and ranges

    def put(self, key, value, keyspace="", **condition):
        request = self.kv.PutRequest(keyspace=keyspace, key=key, value=value, **condition)
        return self.key_value.Put(request, timeout=TIMEOUT)

    def get(self, key, keyspace=""):
        return self.key_value.Get(self.kv.GetRequest(keyspace=keyspace, key=key), timeout=TIMEOUT)

    def test_a_put_is_read_back_and_a_delete_takes_it_away(self):
        for value in (b"", b"value", bytes(range(256)) * 4096):
            written = self.put(b"\x00key\xff", value)
            read = self.get(b"\x00key\xff")
            self.assertTrue(read.found)
            self.assertEqual(read.value, value)
            self.assertGreaterEqual(read.index, written.index)
        deleted = self.key_value.Delete(self.kv.DeleteRequest(key=b"\x00key\xff"), timeout=TIMEOUT)
        self.assertGreater(deleted.index, written.index)
        self.assertFalse(self.get(b"\x00key\xff").found)
        self.assertFalse(self.get(b"key", keyspace="never-written").found)

    def test_scan_gives_a_prefix_in_order_over_many_pages(self):
        content = {b"a/%05d" % place: b"%d" % place * 300 for place in range(600)}
        for key, value in content.items():
            self.put(key, value, keyspace="scanned")
        self.put(b"b", b"outside", keyspace="scanned")

        def scan(**fields):
            pages = self.key_value.Scan(self.kv.ScanRequest(keyspace="scanned", **fields), timeout=TIMEOUT)
            return [(entry.key, entry.value) for page in pages for entry in page.entries]

        self.assertEqual(scan(prefix=b"a/"), sorted(content.items()))
        self.assertEqual(scan(prefix=b"a/", keys_only=True), [(key, b"") for key in sorted(content)])
        self.assertEqual([key for key, _ in scan(after=b"a/00597")], [b"a/00598", b"a/00599", b"b"])
        self.assertEqual([key for key, _ in scan(limit=2)], [b"a/00000", b"a/00001"])

    def test_status_tells_of_the_keyspace_and_its_root(self):
        self.put(b"k", b"v", keyspace="of-status")
        status = self.group_stub.Status(self.group.StatusRequest(), timeout=TIMEOUT)
        self.assertEqual(status.role, "leader")
        keyspace = next(keyspace for keyspace in status.keyspaces if keyspace.name == "of-status")
        self.assertEqual((keyspace.entries, keyspace.bytes), (1, 2))
        self.assertEqual(keyspace.root, root_of({b"k": b"v"}))

    # Errors

    def test_what_breaks_a_limit_is_an_invalid_argument(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        get, put = self.key_value.Get, self.key_value.Put
        self.assertStatus(invalid, get, self.kv.GetRequest(key=b""))
        self.assertStatus(invalid, put, self.kv.PutRequest(key=b"", value=b"v"))
        self.assertStatus(invalid, get, self.kv.GetRequest(key=b"k" * 8193))
        self.assertStatus(invalid, put, self.kv.PutRequest(key=b"k" * 8193, value=b"v"))
        self.assertStatus(invalid, put, self.kv.PutRequest(key=b"k", value=bytes((1 << 20) + 1)))
        self.assertStatus(invalid, get, self.kv.GetRequest(keyspace="no/slash", key=b"k"))
        self.assertStatus(invalid, put, self.kv.PutRequest(key=b"k", value=b"v", expected=b"short"))
        self.assertStatus(invalid, put, self.kv.PutRequest(key=b"k", value=b"v", session=b"short"))
        self.put(b"k" * 8192, b"as long as a key may be")

    def test_a_message_that_is_none_is_an_invalid_argument(self):
        raw = self.channel.unary_unary("/streamdiff.v1.KeyValue/Get")
        self.assertStatus(grpc.StatusCode.INVALID_ARGUMENT, raw, b"\x12\x05ab")

    def test_a_message_over_the_limit_is_refused_as_such(self):
        raw = self.channel.unary_unary("/streamdiff.v1.KeyValue/Get")
        self.assertStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, raw, bytes(5 << 20))

    def test_an_unknown_method_or_service_is_unimplemented(self):
        for path in ("/streamdiff.v1.KeyValue/Frobnicate", "/no.such.Service/Get", "/streamdiff.v1.KeyValue/Watch"):
            self.assertStatus(grpc.StatusCode.UNIMPLEMENTED, self.channel.unary_unary(path), b"")

    def test_compression_that_is_not_spoken_is_unimplemented(self):
        request = self.kv.GetRequest(key=b"k" * 1000)
        self.assertStatus(
            grpc.StatusCode.UNIMPLEMENTED, self.key_value.Get, request, compression=grpc.Compression.Gzip
        )

    def test_an_expectation_that_does_not_hold_aborts_and_changes_nothing(self):
        put, delete = self.key_value.Put, self.key_value.Delete
        aborted = grpc.StatusCode.ABORTED
        self.put(b"conditional", b"one", expected=b"")  # absent, and so it is
        self.assertStatus(aborted, put, self.kv.PutRequest(key=b"conditional", value=b"two", expected=b""))
        wrong = entry_digest(b"conditional", b"another")
        self.assertStatus(aborted, put, self.kv.PutRequest(key=b"conditional", value=b"two", expected=wrong))
        self.assertStatus(aborted, delete, self.kv.DeleteRequest(key=b"conditional", expected=wrong))
        self.assertEqual(self.get(b"conditional").value, b"one")
        self.put(b"conditional", b"two", expected=entry_digest(b"conditional", b"one"))
        right = entry_digest(b"conditional", b"two")
        self.key_value.Delete(self.kv.DeleteRequest(key=b"conditional", expected=right), timeout=TIMEOUT)
        self.assertFalse(self.get(b"conditional").found)

    def test_a_deadline_ends_a_call(self):
        watch = self.health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=0.5)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        with self.assertRaises(grpc.RpcError) as caught:
            next(watch)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_a_cancelled_call_leaves_the_server_serving(self):
        watch = self.health.Watch(health_pb2.HealthCheckRequest(service=""))
        next(watch)
        watch.cancel()
        self.assertEqual(watch.code(), grpc.StatusCode.CANCELLED)
        session = Session(self)
        session.hello("cancelled", {b"k": b"v"})
        session.call.cancel()
        session.half_close()
        self.assertEqual(session.call.code(), grpc.StatusCode.CANCELLED)
        self.assertFalse(self.get(b"k", keyspace="cancelled").found)

    # Sync

    def test_a_session_pushes_two_entries_and_gets_the_sealed_position(self):
        content = {b"first": b"one", b"second": b"two" * 1000}
        session = Session(self)
        hello = session.hello("pushed", content)
        self.assertEqual(hello.role, self.sync.RECEIVER)
        self.assertEqual(hello.entries, 0)
        self.assertEqual(hello.root, root([]))
        self.assertGreater(hello.credit, 0)
        plain = b"".join(put_if_absent(key, content[key]) for key in sorted(content))
        # Cut in the middle of an operation: operations may span chunks.
        session.send(chunk(self.sync, 1, plain[:100], 1, False))
        session.send(chunk(self.sync, 2, plain[100:], 3, True))
        sealed = session.receive("seal_result").seal_result
        self.assertTrue(sealed.equal)
        self.assertEqual(sealed.root, root_of(content))
        self.assertEqual((sealed.entries, sealed.conflicts), (2, 0))
        self.assertEqual(sealed.bytes, sum(len(key) + len(value) for key, value in content.items()))
        session.half_close()
        self.assertEqual(session.call.code(), grpc.StatusCode.OK)
        for key, value in content.items():
            self.assertEqual(self.get(key, keyspace="pushed").value, value)

        # The same content again: equal roots, and the session is over.
        session = Session(self)
        hello = session.hello("pushed", content)
        self.assertEqual(hello.root, root_of(content))
        self.assertGreaterEqual(hello.index, sealed.index)
        session.half_close()
        self.assertEqual(session.call.code(), grpc.StatusCode.OK)

    def test_roots_agree_beyond_one_leaf(self):
        content = {b"%d" % place: b"value %d" % place for place in range(500)}
        session = Session(self)
        session.hello("large", content)
        plain = b"".join(put_if_absent(key, content[key]) for key in sorted(content))
        session.send(chunk(self.sync, 1, plain, 1, True))
        sealed = session.receive("seal_result").seal_result
        self.assertEqual((sealed.equal, sealed.root.hex()), (True, root_of(content).hex()))
        session.half_close()
        self.assertEqual(session.call.code(), grpc.StatusCode.OK)

    def test_a_chunk_with_a_flipped_bit_ends_its_session_with_data_loss(self):
        plain = put_if_absent(b"k", b"value")
        whole = chunk(self.sync, 1, plain, 1, True)

        def damaged(change):
            copy = type(whole)()
            copy.CopyFrom(whole)
            change(copy)
            return copy

        def flip_payload(message):
            message.diff_patch = bytes([plain[0] ^ 1]) + plain[1:]

        def flip_header(message):
            message.chunk.first_ordinal ^= 4

        def flip_checksum(message):
            message.chunk.wire_crc32c ^= 1 << 31

        for change in (flip_payload, flip_header, flip_checksum):
            session = Session(self)
            session.hello("damaged", {b"k": b"value"})
            session.send(damaged(change))
            with self.assertRaises(grpc.RpcError) as caught:
                session.receive("seal_result")
            session.half_close()
            self.assertEqual(caught.exception.code(), grpc.StatusCode.DATA_LOSS, change.__name__)
        self.assertFalse(self.get(b"k", keyspace="damaged").found)

    def test_a_session_that_breaks_the_rules_is_refused(self):
        sync = self.sync
        # Nothing but a hello may come first, and a message is one thing.
        for message in (
            chunk(sync, 1, put_if_absent(b"k", b"v"), 1, True),
            sync.StreamDiffRequest(),
            sync.StreamDiffRequest(hello=sync.Hello(role=sync.ROLE_UNSPECIFIED, version=1)),
            sync.StreamDiffRequest(hello=sync.Hello(role=sync.SENDER, version=1, keyspace="no/slash")),
        ):
            session = Session(self)
            session.send(message)
            with self.assertRaises(grpc.RpcError) as caught:
                next(session.call)
            session.half_close()
            self.assertIn(
                caught.exception.code(),
                (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION),
                caught.exception.details(),
            )


if __name__ == "__main__":
    program = unittest.main(exit=False)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    print(f"python_client: {result.testsRun - failed} passed, {failed} failed")
    sys.exit(1 if failed or not result.testsRun else 0)
