"""A peer that speaks HTTP/2 as badly as it is told to: bare frames, and a connection on h2 that reads, answers
and gives credit only when asked. Beside it what such a peer says: protobuf fields, gRPC messages, a Hello.
"""

import socket
import struct
import threading

import h2.config
import h2.connection
import h2.events

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
INITIAL_WINDOW_SIZE = 4
PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 1, 11
PUT, GET, SCAN = (f"/streamdiff.v1.KeyValue/{name}" for name in ("Put", "Get", "Scan"))
SYNC = "/streamdiff.v1.StreamDiff/Sync"


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(place, value):
    """A protobuf varint field."""
    return varint(place << 3) + varint(value)


def message(payload, flag=0, length=None):
    """A gRPC message, with a false flag or length where wanted."""
    return bytes([flag]) + (len(payload) if length is None else length).to_bytes(4, "big") + payload


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def request(path):
    return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
            ("content-type", "application/grpc"), ("te", "trailers")]


def plain_block(fields):
    """A header block without compression or table: for frames made by hand."""
    block = b""
    for name, value in fields:
        name, value = name.encode(), value.encode()
        assert len(name) < 127 and len(value) < 127, "a literal of one length byte"
        block += b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return block


# What a session's first message says. Roles: 1 sender, 2 receiver.
EMPTY_ROOT = bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")  # SHA-256(0x00)


def hello(role, keyspace="default", kind=0, session=b"", root=b"", credit=4 << 20, salt=7):
    body = number(1, role) + number(2, 1) + field(3, keyspace.encode())
    if kind:
        body += number(4, kind)
    if session:
        body += field(5, session)
    if root:
        body += field(6, root)
    body += varint(10 << 3 | 1) + struct.pack("<Q", salt)
    if role == 2:
        body += number(12, credit)
    return field(6, body)


CRC_TABLE = []
for _index in range(256):
    for _ in range(8):
        _index = _index >> 1 ^ (0x82F63B78 if _index & 1 else 0)
    CRC_TABLE.append(_index)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def chunk(sequence, first_ordinal, plain_length, payload, codec=0, new_frame=False, last=False, plain=b""):
    """A chunk whose checksum on the wire holds, whatever it decodes to."""
    plain_crc = crc32c(plain)
    flags = new_frame | last << 1
    head = struct.pack("<QQIBBIII", sequence, first_ordinal, plain_length, codec, flags, 0, plain_crc, len(payload))
    fields = number(1, first_ordinal) + number(2, plain_length) + number(3, codec) + number(4, int(new_frame))
    fields += varint(6 << 3 | 5) + struct.pack("<I", plain_crc)
    fields += varint(7 << 3 | 5) + struct.pack("<I", crc32c(head + payload))
    return field(1, payload) + number(2, sequence) + number(4, int(last)) + field(5, fields)


def send_until_closed(link, frames):
    """Sends while a thread reads. Returns all that came until the other side closed."""
    got = bytearray()

    def read():
        try:
            while data := link.recv(1 << 16):
                got.extend(data)
        except (ConnectionResetError, TimeoutError):
            pass

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for each in frames:
            link.sendall(each)
    except (BrokenPipeError, ConnectionResetError):
        pass
    reader.join()
    return bytes(got)


def last_goaway(data):
    """The error code of the last GOAWAY among whole frames; None without one."""
    code, place = None, 0
    while place + 9 <= len(data):
        length, kind = int.from_bytes(data[place:place + 3], "big"), data[place + 3]
        if kind == GOAWAY and place + 17 <= len(data):
            code = int.from_bytes(data[place + 13:place + 17], "big")
        place += 9 + length
    return code


def dial(server, receive_buffer=None, timeout=15):
    host, port = server.address.rsplit(":", 1)
    link = socket.socket()
    if receive_buffer:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    link.settimeout(timeout)
    link.connect((host, int(port)))
    return link


class Peer:
    """A client connection whose every step is asked for."""

    def __init__(self, server, window=65535, receive_buffer=None, timeout=15):
        self.link = dial(server, receive_buffer, timeout)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({INITIAL_WINDOW_SIZE: window})
        self.heads, self.bodies, self.resets, self.ended = {}, {}, {}, set()
        self.goaway = None
        self.closed = False
        self.pongs = 0
        self.flush()

    def flush(self):
        if data := self.h2.data_to_send():
            try:
                self.link.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                self.closed = True

    def open(self, path, body=None, end=True):
        """A stream with one request on it, as far as the window lets it."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, request(path), end_stream=body is None and end)
        if body is not None:
            self.send(stream, body, end)
        self.flush()
        return stream

    def send(self, stream, data, end=False):
        """All of `data`, reading what gives room for it, unless the stream ends before."""
        while stream not in self.ended and not self.closed:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            part, data = data[:room], data[room:]
            if part or not data:
                self.h2.send_data(stream, part, end_stream=end and not data)
            self.flush()
            if not data:
                return
            if room == len(part) and not self.h2.local_flow_control_window(stream):
                self.read()

    def read(self, credit=False):
        """One read of the socket. Answers SETTINGS and PING; gives credit for payload where wanted, or of one stream."""
        try:
            data = self.link.recv(1 << 18)
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                self.heads.setdefault(stream, {}).update(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[stream] = self.bodies.get(stream, b"") + event.data
                if (credit is True or credit == stream) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamReset):
                self.resets[stream] = int(event.error_code)
                self.ended.add(stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(stream)
            elif isinstance(event, h2.events.PingAckReceived):
                self.pongs += 1
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = int(event.error_code)
        self.flush()
        return True

    def settle(self, credit=False):
        """Until the server's SETTINGS and its acknowledgement of ours are here."""
        before = self.pongs
        self.h2.ping(b"settled?")
        self.flush()
        while self.pongs == before and self.read(credit):
            pass

    def until_ended(self, stream, credit=True):
        while stream not in self.ended and self.goaway is None and self.read(credit):
            pass
        return {**self.heads.get(stream, {}), **({"reset": self.resets[stream]} if stream in self.resets else {})}

    def until_ended_of(self, path, body):
        """One call, and the end of the connection."""
        with self:
            return self.until_ended(self.open(path, body))

    def until_closed(self):
        """All that comes until the server closes."""
        while self.read():
            pass

    def close(self):
        self.link.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class StillServer:
    """A server for one client: it takes a Sync call's hello, answers when told to, and reads no more after that."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(60)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.link = None

    def await_hello(self):
        """Until the client's first message has come."""
        self.link, _ = self.listener.accept()
        self.link.settimeout(60)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({INITIAL_WINDOW_SIZE: 64 << 20})
        self.h2.increment_flow_control_window(64 << 20)
        self.link.sendall(self.h2.data_to_send())
        while True:
            for event in self.h2.receive_data(self.link.recv(1 << 16)):
                if isinstance(event, h2.events.DataReceived):
                    self.stream = event.stream_id
                    self.link.sendall(self.h2.data_to_send())
                    return
            self.link.sendall(self.h2.data_to_send())

    def say_hello(self):
        self.h2.send_headers(self.stream, [(":status", "200"), ("content-type", "application/grpc")])
        self.h2.send_data(self.stream, message(hello(2, root=EMPTY_ROOT, credit=64 << 20)))
        self.link.sendall(self.h2.data_to_send())

    def take(self, count):
        """Reads `count` bytes more of the socket, and gives credit for them."""
        while count > 0:
            data = self.link.recv(min(count, 1 << 16))
            if not data:
                raise ConnectionError(f"the client closed the connection, {count} bytes before it was to be left alone")
            count -= len(data)
            for event in self.h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, self.stream)
            self.link.sendall(self.h2.data_to_send())

    def has_data(self):
        """Whether something waits to be read, and is left there."""
        self.link.settimeout(0)
        try:
            return len(self.link.recv(1, socket.MSG_PEEK)) > 0
        except BlockingIOError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (self.link, self.listener):
            if each:
                each.close()
