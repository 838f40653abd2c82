import NIOCore
import StreamDiffWire

/// A client and a server session whose sockets are two arrays.
final class SessionPair {
  let client: HTTP2Session
  let server: HTTP2Session
  private(set) var clientEvents: [HTTP2Event] = []
  private(set) var serverEvents: [HTTP2Event] = []
  /// Bytes that each side sent.
  private(set) var clientBytes = 0
  private(set) var serverBytes = 0
  /// Cuts what a side receives; the default hands over each output buffer as it is.
  var cut: (ByteBuffer) -> [ByteBuffer] = { [$0] }

  init(client: HTTP2Settings = HTTP2Settings(), server: HTTP2Settings = HTTP2Settings()) throws {
    self.client = try HTTP2Session(.client, settings: client)
    self.server = try HTTP2Session(.server, settings: server)
  }

  /// Carries bytes both ways until nobody has any to send.
  func settle() throws {
    var isQuiet = false
    while !isQuiet {
      isQuiet = true
      while let output = try client.takeOutput() {
        isQuiet = false
        clientBytes += output.byteCount
        for buffer in output.buffers { for piece in cut(buffer) { try server.receive(piece) } }
      }
      while let output = try server.takeOutput() {
        isQuiet = false
        serverBytes += output.byteCount
        for buffer in output.buffers { for piece in cut(buffer) { try client.receive(piece) } }
      }
    }
    clientEvents += client.takeEvents()
    serverEvents += server.takeEvents()
  }

  /// Settles, and takes the events since the last time.
  func exchange() throws -> (client: [HTTP2Event], server: [HTTP2Event]) {
    try settle()
    defer { (clientEvents, serverEvents) = ([], []) }
    return (clientEvents, serverEvents)
  }

  static let request = GRPCRequestHead(path: "/test.Service/Method", authority: "localhost").fields
}

/// An event in a word, so that a test can state the order of a few.
func words(_ events: [HTTP2Event]) -> [String] {
  events.map { event in
    switch event {
    case .headers(let id, let fields):
      "headers \(id.rawValue) \(fields[first: ":status"] ?? fields[first: ":path"] ?? "")"
    case .data(let id, let bytes): "data \(id.rawValue) \(bytes.readableBytes)"
    case .trailers(let id, let fields): "trailers \(id.rawValue) \(fields[first: "grpc-status"] ?? "")"
    case .remoteEnded(let id): "ended \(id.rawValue)"
    case .writable(let id): "writable \(id.rawValue)"
    case .streamClosed(let id, let code): "closed \(id.rawValue) \(code)"
    case .settings: "settings"
    case .pingAcknowledged(let payload): "ping \(payload)"
    case .goAway(let last, let code, let debug): "goaway \(last.rawValue) \(code) \(debug)"
    case .failed(let code, _): "failed \(code)"
    }
  }
}

func payload(_ events: [HTTP2Event], of wanted: StreamID) -> [UInt8] {
  events.reduce(into: []) { all, event in
    if case .data(let id, let bytes) = event, id == wanted { all += bytes.readableBytesView }
  }
}

/// SplitMix64: the same numbers from the same seed, everywhere.
struct Seeded: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func bytes(_ count: Int) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: count)
    while buffer.readableBytes + 8 <= count { buffer.writeInteger(next()) }
    while buffer.readableBytes < count { buffer.writeInteger(UInt8.random(in: 0...255, using: &self)) }
    return buffer
  }
}

/// Frames as a peer that does not use a library would lay them (RFC 9113 §4.1, RFC 7541 §6.2.2).
enum RawFrame {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    let count = payload.count
    let id = (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * $0)) }
    return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags] + id + payload
  }

  static let settings = frame(4)
  static let settingsAck = frame(4, flags: 1)

  static func headers(_ fields: [(String, String)], stream: UInt32, endStream: Bool = true) -> [UInt8] {
    frame(1, flags: endStream ? 5 : 4, stream: stream, fields.flatMap { literal($0.0, $0.1) })
  }

  static func reset(_ stream: UInt32, _ code: UInt8 = 8) -> [UInt8] {
    frame(3, stream: stream, [0, 0, 0, code])
  }

  /// A field that goes to no table, spelt out.
  static func literal(_ name: String, _ value: String) -> [UInt8] { [0] + string(name) + string(value) }

  private static func string(_ text: String) -> [UInt8] {
    var count = text.utf8.count
    var bytes: [UInt8] = []
    if count < 127 {
      bytes = [UInt8(count)]
    } else {
      bytes = [127]
      count -= 127
      while count >= 128 {
        bytes.append(UInt8(count & 127 | 128))
        count >>= 7
      }
      bytes.append(UInt8(count))
    }
    return bytes + text.utf8
  }

  static let request = [
    (":method", "POST"), (":scheme", "http"), (":path", "/test.Service/Method"), (":authority", "localhost"),
    ("content-type", "application/grpc"), ("te", "trailers"),
  ]
}
