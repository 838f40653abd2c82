import NIOCore
import StreamDiffCore
import StreamDiffWire

/// HTTP/2 as a peer may write it: by hand, and by nghttp2.
enum FrameSamples {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
  static let settings = frame(4)

  /// - Parameter type: RFC 9113 §6: 0 DATA, 1 HEADERS, 3 RST_STREAM, 4 SETTINGS, 6 PING, 7 GOAWAY …
  static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    Shape.frames.part(payload, head: [type, flags, 0, 0, 0, stream])
  }

  /// A field that goes to no table, spelt out (RFC 7541 §6.2.2).
  private static func literal(_ name: String, _ value: String) -> [UInt8] {
    [0, UInt8(name.utf8.count)] + name.utf8 + [UInt8(value.utf8.count)] + value.utf8
  }

  private static func head(_ fields: [(String, String)]) -> [UInt8] { fields.flatMap { literal($0.0, $0.1) } }

  static func request(_ path: String) -> [UInt8] {
    head([
      (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
      ("content-type", "application/grpc"), ("te", "trailers"),
    ])
  }

  private static let request = request("/streamdiff.v1.StreamDiff/Sync")
  static let answer = head([
    (":status", "200"), ("content-type", "application/grpc"), ("grpc-accept-encoding", "identity"),
  ])
  static let trailers = head([("grpc-status", "0"), ("grpc-message", "all%20well")])

  private static let message = ChunkSamples.message(MessageSamples.sync[2])
  private static let session = SyncSamples.toReceiver[0].prefix(2000)

  static let requests: [[UInt8]] = [
    frame(1, flags: 5, stream: 1, request),
    frame(1, flags: 4, stream: 1, request) + frame(0, flags: 1, stream: 1, message),
    // A head in two frames, payload in three, trailers.
    frame(1, stream: 3, Array(request.prefix(40)))
      + frame(9, flags: 4, stream: 3, Array(request.dropFirst(40)))
      + frame(0, stream: 3, Array(message.prefix(3))) + frame(0, stream: 3, Array(message.dropFirst(3)))
      + frame(1, flags: 5, stream: 3, trailers),
    frame(1, flags: 4, stream: 1, request) + frame(0, stream: 1, Array(session))
      + frame(3, stream: 1, [0, 0, 0, 8]),
    frame(1, flags: 4, stream: 1, request) + frame(1, flags: 4, stream: 3, request)
      + frame(0, flags: 1, stream: 3, message) + frame(0, flags: 1, stream: 1, message),
    frame(4, [0, 4, 0, 0, 16, 0]) + frame(4, flags: 1) + frame(6, [1, 2, 3, 4, 5, 6, 7, 8])
      + frame(8, [0, 0, 16, 0]) + frame(2, stream: 1, [0, 0, 0, 0, 16])
      + frame(1, flags: 0x2c, stream: 1, [2, 0, 0, 0, 0, 16] + request + [0, 0])
      + frame(7, [0, 0, 0, 0, 0, 0, 0, 0]),
    frame(1, flags: 4, stream: 1, request) + frame(0, flags: 9, stream: 1, [4] + message + [0, 0, 0, 0]),
    recorded,
  ]

  static let answers: [[UInt8]] = [
    frame(1, flags: 4, stream: 1, answer) + frame(0, stream: 1, message)
      + frame(1, flags: 5, stream: 1, trailers),
    frame(1, flags: 5, stream: 1, answer + trailers),
    frame(1, flags: 4, stream: 1, head([(":status", "103")])) + frame(1, flags: 4, stream: 1, answer)
      + frame(0, flags: 1, stream: 1, message),
    frame(4, [0, 3, 0, 0, 0, 1]) + frame(4, flags: 1) + frame(1, flags: 4, stream: 3, answer)
      + frame(3, stream: 3, [0, 0, 0, 7]) + frame(7, [0, 0, 0, 1, 0, 0, 0, 0] + Array("bye".utf8)),
    frame(1, flags: 5, stream: 5, head([(":status", "503"), ("content-type", "text/html")])),
    frame(5, flags: 4, stream: 1, [0, 0, 0, 2] + request),
  ]

  static let words: [[UInt8]] =
    [settings, frame(4, flags: 1), frame(6, [0, 0, 0, 0, 0, 0, 0, 0]), frame(3, stream: 1, [0, 0, 0, 8])]
    + [
      literal("grpc-timeout", "1S"), literal("x-bin", "AAEC"), literal("content-length", "5"), [0x82], [0x86],
    ]
    + [[0x3f, 0xe1, 0x1f], [0x3f, 0xff, 0xff, 0xff, 0x7f], [0x40], [0xff, 0xff, 0xff, 0xff, 0x0f]]

  /// What our client sends for two calls, header compression included; its preface and SETTINGS left out.
  private static let recorded: [UInt8] = {
    var bytes: [UInt8] = []
    do {
      let client = try HTTP2Session(.client)
      while let output = try client.takeOutput() { _ = output }
      for _ in 0..<2 {
        let head = GRPCRequestHead(
          path: "/streamdiff.v1.KeyValue/Get", authority: "localhost", timeout: .seconds(3))
        let stream = try client.submitRequest(head.fields)
        client.writeMessage(MessageSamples.keyValue[0].encode(), on: stream)
        client.finish(stream)
      }
      while let output = try client.takeOutput() {
        for buffer in output.buffers { bytes += buffer.readableBytesView }
      }
    } catch {
      preconditionFailure("our own client fails: \(error)")
    }
    return bytes
  }()
}
