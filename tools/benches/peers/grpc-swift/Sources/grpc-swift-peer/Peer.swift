// One stream between two processes on grpc-swift-2: what tools/bench transport stands beside. The commands are
// those of tools/transport; `--wide` raises the windows and frames of both ends from what they are by default.
// `bytes` and `echo` are not copied; `chunks` are arrays with a checksum, made at one end, held against the bytes
// at the other.
import CISAL
import GRPCCore
import GRPCNIOTransportHTTP2Posix
import Glibc
import Synchronization

@main
struct Peer {
  /// Messages for each acknowledgement.
  static let acknowledged = 16
  static let service = "bench.Transport"

  static func main() async throws {
    var arguments = Array(CommandLine.arguments.dropFirst())
    let isWide = arguments.contains("--wide")
    arguments.removeAll { $0 == "--wide" }
    switch arguments.first {
    case "serve": try await serve(isWide)
    case "send" where arguments.count == 6:
      guard let bytes = Int(arguments[3]), let seconds = Double(arguments[4]), let ahead = Int(arguments[5])
      else {
        fallthrough
      }
      try await send(to: arguments[1], arguments[2], bytes, seconds, ahead, isWide)
    default: fatalError("serve [--wide] | send HOST:PORT chunks|bytes|echo BYTES SECONDS AHEAD [--wide]")
    }
  }

  // MARK: The server

  static func serve(_ isWide: Bool) async throws {
    let transport = HTTP2ServerTransport.Posix(
      address: .ipv4(host: "127.0.0.1", port: 0), transportSecurity: .plaintext,
      config: .defaults { config in
        guard isWide else { return }
        config.http2.targetWindowSize = window
        config.http2.maxFrameSize = frame
      })
    var router = RPCRouter<HTTP2ServerTransport.Posix>()
    acknowledge("bytes", Bytes(), in: &router) { $0.count > 0 }
    acknowledge("chunks", ChunkCoding(), in: &router) { $0.checksum == checksum($0.payload) }
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: service, method: "echo"), deserializer: Bytes(),
      serializer: Bytes()
    ) { request, _ in
      StreamingServerResponse { writer in
        for try await message in request.messages { try await writer.write(message) }
        return [:]
      }
    }
    let server = GRPCServer(transport: transport, router: router)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await server.serve() }
      guard let address = try await transport.listeningAddress.ipv4 else { fatalError("no address") }
      print("ready listen=\(address.host):\(address.port)")
      fflush(nil)
      try await group.next()
    }
  }

  private static func acknowledge<Message: Sendable>(
    _ method: String, _ deserializer: some MessageDeserializer<Message>,
    in router: inout RPCRouter<HTTP2ServerTransport.Posix>, _ isGood: @escaping @Sendable (Message) -> Bool
  ) {
    router.registerHandler(
      forMethod: MethodDescriptor(fullyQualifiedService: service, method: method), deserializer: deserializer,
      serializer: Bytes()
    ) { request, _ in
      StreamingServerResponse { writer in
        var messages = 0
        for try await message in request.messages {
          precondition(isGood(message), "a message was damaged")
          messages += 1
          guard messages % acknowledged == 0 else { continue }
          try await writer.write(GRPCNIOTransportBytes("\(messages)".utf8))
        }
        return [:]
      }
    }
  }

  // MARK: The client

  static func send(
    to server: String, _ work: String, _ bytes: Int, _ seconds: Double, _ ahead: Int, _ isWide: Bool
  ) async throws {
    let parts = server.split(separator: ":")
    let transport = try HTTP2ClientTransport.Posix(
      target: .ipv4(address: String(parts[0]), port: Int(parts[1])!), transportSecurity: .plaintext,
      config: .defaults { config in
        guard isWide else { return }
        config.http2.targetWindowSize = window
        config.http2.maxFrameSize = frame
      })
    let line = try await withGRPCClient(transport: transport) { client in
      switch work {
      case "echo": try await trips(client, bytes, seconds)
      case "bytes":
        try await flow(client, work, Bytes(), seconds, ahead) {
          GRPCNIOTransportBytes(repeating: 0x5a, count: bytes)
        }
      default:
        try await flow(client, work, ChunkCoding(), seconds, ahead) {
          let payload = [UInt8](repeating: 0x5a, count: bytes)
          return Chunk(payload: payload, checksum: checksum(payload))
        }
      }
    }
    print(line)
  }

  static func flow<Message: Sendable>(
    _ client: GRPCClient<HTTP2ClientTransport.Posix>, _ method: String,
    _ serializer: some MessageSerializer<Message>, _ seconds: Double, _ ahead: Int,
    _ make: @escaping @Sendable () -> Message
  ) async throws -> String {
    let clock = ContinuousClock()
    let progress = Progress(ahead: ahead)
    let total = Atomic(0)
    let warm = clock.now + .seconds(seconds / 4)
    let end = warm + .seconds(seconds)
    let isSame = method == "bytes"
    let request = StreamingClientRequest<Message> { writer in
      let same = make()
      var sent = 0
      while sent % 64 != 0 || clock.now < end {
        await progress.mayExceed(sent)
        try await writer.write(isSame ? same : make())
        sent += 1
      }
      total.store(sent, ordering: .relaxed)
    }
    return try await client.bidirectionalStreaming(
      request: request, descriptor: MethodDescriptor(fullyQualifiedService: service, method: method),
      serializer: serializer, deserializer: Bytes(), options: .defaults
    ) { response in
      var acknowledged = 0
      var atWarm: (time: ContinuousClock.Instant, messages: Int)?
      var atEnd: (time: ContinuousClock.Instant, messages: Int)?
      for try await _ in response.messages {
        acknowledged += Self.acknowledged
        progress.acknowledged(acknowledged)
        let now = clock.now
        if atWarm == nil, now >= warm { atWarm = (now, acknowledged) }
        if now <= end || atEnd == nil { atEnd = (now, acknowledged) }
      }
      guard let atWarm, let atEnd, atEnd.messages > atWarm.messages else {
        fatalError("nothing was acknowledged")
      }
      let all = total.load(ordering: .relaxed)
      guard all - acknowledged < Self.acknowledged else {
        fatalError("\(all) sent, \(acknowledged) acknowledged")
      }
      return """
        {"messages": \(atEnd.messages - atWarm.messages), "seconds": \(atWarm.time.duration(to: atEnd.time) / .seconds(1)), \
        "all": \(all)}
        """
    }
  }

  static func trips(
    _ client: GRPCClient<HTTP2ClientTransport.Posix>, _ bytes: Int, _ seconds: Double
  ) async throws -> String {
    let clock = ContinuousClock()
    let warm = clock.now + .seconds(seconds / 4)
    let end = warm + .seconds(seconds)
    let message = GRPCNIOTransportBytes(repeating: 0x5a, count: bytes)
    let progress = Progress(ahead: 1)
    let request = StreamingClientRequest<GRPCNIOTransportBytes> { writer in
      var sent = 0
      while clock.now < end {
        await progress.mayExceed(sent)
        progress.departed(clock.now)
        try await writer.write(message)
        sent += 1
      }
      await progress.mayExceed(sent)
    }
    return try await client.bidirectionalStreaming(
      request: request, descriptor: MethodDescriptor(fullyQualifiedService: service, method: "echo"),
      serializer: Bytes(), deserializer: Bytes(), options: .defaults
    ) { response in
      var times: [Double] = []
      var all = 0
      for try await answer in response.messages {
        let now = clock.now
        precondition(answer.count == bytes, "a message did not come back")
        let last = progress.departure
        all += 1
        if last >= warm { times.append(last.duration(to: now) / .microseconds(1)) }
        progress.acknowledged(all)
      }
      times.sort()
      return """
        {"trips": \(times.count), "p50_us": \(times[times.count / 2]), "p99_us": \(times[times.count * 99 / 100]), \
        "all": \(all)}
        """
    }
  }

  /// The widest that still help: beyond, nothing was gained on loopback.
  static let window = 64 << 20
  static let frame = 1 << 20
}

/// Bytes as the transport has them: nothing is copied.
struct Bytes: MessageSerializer, MessageDeserializer {
  func serialize<B: GRPCContiguousBytes>(_ message: GRPCNIOTransportBytes) throws -> B {
    if let same = message as? B { return same }
    return message.withUnsafeBytes { B($0) }
  }

  func deserialize<B: GRPCContiguousBytes>(_ bytes: B) throws -> GRPCNIOTransportBytes {
    if let same = bytes as? GRPCNIOTransportBytes { return same }
    return bytes.withUnsafeBytes { GRPCNIOTransportBytes($0) }
  }
}

struct Chunk: Sendable {
  var payload: [UInt8]
  var checksum: UInt32
}

/// The checksum, then the payload.
struct ChunkCoding: MessageSerializer, MessageDeserializer {
  func serialize<B: GRPCContiguousBytes>(_ chunk: Chunk) throws -> B {
    var bytes = B(repeating: 0, count: 4 + chunk.payload.count)
    bytes.withUnsafeMutableBytes { room in
      room.storeBytes(of: chunk.checksum, as: UInt32.self)
      UnsafeMutableRawBufferPointer(rebasing: room[4...]).copyBytes(from: chunk.payload)
    }
    return bytes
  }

  func deserialize<B: GRPCContiguousBytes>(_ bytes: B) throws -> Chunk {
    try bytes.withUnsafeBytes { bytes in
      guard bytes.count >= 4 else { throw RPCError(code: .dataLoss, message: "no chunk") }
      return Chunk(payload: Array(bytes[4...]), checksum: bytes.loadUnaligned(as: UInt32.self))
    }
  }
}

func checksum(_ bytes: [UInt8]) -> UInt32 {
  bytes.withUnsafeBufferPointer {
    ~crc32_iscsi(UnsafeMutablePointer(mutating: $0.baseAddress!), Int32($0.count), ~0)
  }
}

/// How far the one who sends may be ahead of the one who acknowledges.
final class Progress: Sendable {
  private struct State {
    var acknowledged = 0
    var departure = ContinuousClock.now
    var waiter: (sent: Int, continuation: CheckedContinuation<Void, Never>)?
  }

  private let ahead: Int
  private let state = Mutex(State())

  init(ahead: Int) { self.ahead = ahead }

  var departure: ContinuousClock.Instant { state.withLock { $0.departure } }

  func departed(_ time: ContinuousClock.Instant) { state.withLock { $0.departure = time } }

  func acknowledged(_ count: Int) {
    let continuation: CheckedContinuation<Void, Never>? = state.withLock { state in
      state.acknowledged = count
      guard let waiter = state.waiter, waiter.sent - count < ahead else { return nil }
      state.waiter = nil
      return waiter.continuation
    }
    continuation?.resume()
  }

  /// Waits until one more than `sent` may be under way.
  func mayExceed(_ sent: Int) async {
    if state.withLock({ sent - $0.acknowledged < ahead }) { return }
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        if sent - state.acknowledged < ahead { return true }
        state.waiter = (sent, continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
  }
}
