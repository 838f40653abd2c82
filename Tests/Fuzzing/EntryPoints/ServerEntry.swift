import Dispatch
import Glibc
import Logging
import NIOCore
import StreamDiffCore
import StreamDiffService
import StreamDiffWire

extension EntryPoints {
  /// A whole server behind a socket, with everything that stands between frames and the state: for
  /// tools/fuzz alone, since it outlives an execution. tools/tests has the same from outside.
  public static let live = [server, client]

  static let server = EntryPoint(
    "server", shape: .frames, maximumBytes: 8 << 10, dictionary: FrameSamples.words,
    seeds: { ServerSamples.requests }
  ) { input, seen in
    let connection = try LiveServer.shared.connect()
    // What is sent on a connection that the server has ended is lost, as it should be.
    connection.send(FrameSamples.preface + FrameSamples.settings)
    connection.send(input)
    connection.send(FrameSamples.frame(6, Connection.ping))
    // Where the input ends within a frame the PING is part of it, and nothing is owed.
    let answered = connection.receivePing(within: 5)
    connection.endSending()
    let all = try connection.receiveAll()
    seen.note(answered ? "answered" : "open")
    seen.note(count: all)
    // The largest answers are the reflection files and a page of a scan.
    try require(all <= (1 << 20) + 2000 * input.count, "\(all) bytes answer \(input.count)")
  }
}

/// A server on a free port with a little content.
private struct LiveServer {
  static let shared = LiveServer()

  private let server: StreamDiffServer

  private init() {
    var template = Array(
      "\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/streamdiff-fuzz-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "no directory for the server: \(errno)")
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    server = waitFor {
      let configuration = ServerConfiguration(directory: path + "/data", port: 0, version: "fuzz")
      let server = try await StreamDiffServer.start(
        configuration, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
      let client = try await RPCClient.connect(host: server.host, port: server.port)
      for record in MapContent.numbered(300).values {
        let put = PutRequest(key: record.key, value: record.value)
        _ = try await client.unary("/streamdiff.v1.KeyValue/Put", put.encode())
      }
      await client.close()
      return server
    }
  }

  func connect() throws -> Connection {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(server.port)).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    try require(connected == 0, "the server does not accept: \(errno)")
    return Connection(descriptor)
  }
}

/// A client's end of a TCP connection, blocking.
private final class Connection {
  static let ping: [UInt8] = [0x66, 0x75, 0x7a, 0x7a, 1, 2, 3, 4]
  private static let seconds = 60

  private let descriptor: Int32
  private var count = 0

  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    var limit = timeval(tv_sec: Self.seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  func send(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return }
      rest = rest.dropFirst(sent)
    }
  }

  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// Reads until the answer to our PING has come.
  func receivePing(within milliseconds: Int32) -> Bool {
    var tail: [UInt8] = []
    var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    while poll(&waiting, 1, milliseconds) > 0, let bytes = read(), !bytes.isEmpty {
      tail = tail.suffix(Self.ping.count) + bytes
      if tail.contains(Self.ping) { return true }
    }
    return false
  }

  /// Reads until the server has closed its side.
  /// - Returns: bytes received since the connection was made.
  func receiveAll() throws(LawBroken) -> Int {
    while let bytes = read() {
      guard !bytes.isEmpty else { return count }
    }
    throw LawBroken("the server does not close within \(Self.seconds) s of our end")
  }

  /// - Returns: nothing at the end, also where that is a reset; `nil` when nothing came in time.
  private func read() -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let got = recv(descriptor, &buffer, buffer.count, 0)
    if got < 0, errno == EAGAIN || errno == EWOULDBLOCK { return nil }
    count += max(got, 0)
    return Array(buffer.prefix(max(got, 0)))
  }
}

/// Waits, on a thread that may, for what happens on others.
private func waitFor<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) -> Value {
  let (done, box) = (DispatchSemaphore(value: 0), Box<Value>())
  Task.detached {
    do {
      box.value = try await body()
    } catch {
      preconditionFailure("the server for fuzzing does not start: \(error)")
    }
    done.signal()
  }
  done.wait()
  return box.value!
}

private final class Box<Value>: @unchecked Sendable {  // the semaphore orders the one write before the read
  var value: Value?
}

private enum ServerSamples {
  private static func call(_ path: String, _ message: (any WireMessage)?, stream: UInt8 = 1) -> [UInt8] {
    call(path, message.map { Shape.messages.part(Array(buffer: $0.encode())) } ?? [], stream: stream)
  }

  private static func call(_ path: String, _ payload: [UInt8], stream: UInt8 = 1) -> [UInt8] {
    FrameSamples.frame(1, flags: 4, stream: stream, FrameSamples.request(path))
      + FrameSamples.frame(0, flags: 1, stream: stream, payload)
  }

  private static let key = Array("key-100007".utf8)

  static let requests: [[UInt8]] = [
    call("/streamdiff.v1.KeyValue/Get", GetRequest(key: key)),
    call("/streamdiff.v1.KeyValue/Get", GetRequest(keyspace: "none", key: key))
      + call("/streamdiff.v1.KeyValue/Get", GetRequest(key: [1]), stream: 3),
    call("/streamdiff.v1.KeyValue/Put", PutRequest(key: key, value: Array("value".utf8))),
    call(
      "/streamdiff.v1.KeyValue/Put",
      PutRequest(key: key, value: [1], session: Samples.session, ordinal: Ordinal(1))),
    call(
      "/streamdiff.v1.KeyValue/Put", PutRequest(key: key, value: [2], expectation: .digest(Samples.digest))),
    call("/streamdiff.v1.KeyValue/Delete", DeleteRequest(key: [9], expectation: .absent)),
    call("/streamdiff.v1.KeyValue/Scan", ScanRequest(prefix: Array("key-10000".utf8))),
    call("/streamdiff.v1.KeyValue/Scan", ScanRequest(after: key, limit: 3, keysOnly: true)),
    call("/streamdiff.v1.Group/Status", StatusRequest()),
    call("/grpc.health.v1.Health/Check", HealthCheckRequest()),
    call("/grpc.health.v1.Health/Watch", HealthCheckRequest(service: "streamdiff.v1.KeyValue")),
    call("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ReflectionRequest(query: .services)),
    call(
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
      ReflectionRequest(query: .fileContaining(symbol: "streamdiff.v1.KeyValue"))),
    call("/streamdiff.v1.StreamDiff/Sync", SyncSamples.toReceiver[0]),
    call("/streamdiff.v1.StreamDiff/Sync", SyncSamples.toReceiver[1]),
    call("/streamdiff.v1.StreamDiff/Sync", SyncSamples.toReceiver[2]),
    call("/streamdiff.v1.StreamDiff/Sync", SyncSamples.toSender[0]),
    call("/streamdiff.v1.StreamDiff/Sync", SyncSamples.toSender[1]),
  ]
}
