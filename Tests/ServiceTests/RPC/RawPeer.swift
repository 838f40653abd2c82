import NIOCore
import NIOPosix
import StreamDiffService
import StreamDiffWire

/// A TCP connection that sends what it is told and keeps all that comes.
final class RawPeer: Sendable {
  private let channel: any Channel
  private let arrivals: AsyncStream<ByteBuffer>

  init(to server: RPCServer) async throws {
    let (arrivals, continuation) = AsyncStream.makeStream(of: ByteBuffer.self)
    self.arrivals = arrivals
    channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Collector(continuation))
        }
      }
      .connect(host: server.host, port: server.port).get()
  }

  /// Bytes that a closed connection does not take are lost, as they would be on the way.
  func send(_ bytes: some Sequence<UInt8> & Sendable) async {
    try? await channel.writeAndFlush(ByteBuffer(bytes: bytes))
  }

  func send(_ text: String) async { await send(Array(text.utf8)) }

  /// All that the server says until it closes the connection.
  func untilClosed() async -> [UInt8] {
    var bytes: [UInt8] = []
    for await arrival in arrivals { bytes += arrival.readableBytesView }
    return bytes
  }

  func close() async { try? await channel.close() }

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let continuation: AsyncStream<ByteBuffer>.Continuation

    init(_ continuation: AsyncStream<ByteBuffer>.Continuation) { self.continuation = continuation }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      continuation.yield(unwrapInboundIn(data))
    }
    func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}

/// A frame of HTTP/2 (RFC 9113 §4.1).
struct Frame: Hashable {
  var type: UInt8
  var flags: UInt8 = 0
  var stream: UInt32 = 0
  var payload: [UInt8] = []

  static let settings = Frame(type: 4)
  static let pingType: UInt8 = 6
  static let goAwayType: UInt8 = 7
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  var bytes: [UInt8] {
    let count = UInt32(payload.count)
    return [UInt8(count >> 16 & 0xff), UInt8(count >> 8 & 0xff), UInt8(count & 0xff), type, flags]
      + (0..<4).map { UInt8(stream >> (24 - 8 * $0) & 0xff) } + payload
  }

  /// Whole frames at the start of `bytes`.
  static func all(in bytes: [UInt8]) -> [Frame] {
    var frames: [Frame] = []
    var rest = bytes[...]
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      let count = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
      guard rest.count >= 9 + count else { break }
      let stream = head[5...].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      frames.append(
        Frame(type: head[3], flags: head[4], stream: stream, payload: Array(rest.dropFirst(9).prefix(count))))
      rest = rest.dropFirst(9 + count)
    }
    return frames
  }

  /// The error codes of the GOAWAY frames in `bytes`.
  static func goAways(in bytes: [UInt8]) -> [HTTP2ErrorCode] { all(in: bytes).compactMap(\.goAwayCode) }

  /// The error code of a GOAWAY.
  var goAwayCode: HTTP2ErrorCode? {
    guard type == Self.goAwayType, payload.count >= 8 else { return nil }
    return HTTP2ErrorCode(rawValue: payload[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
  }
}

/// An HTTP/2 client that sends any header fields and any payload, on one stream.
enum RawRequest {
  struct Answer: Hashable {
    var head: [HeaderField] = []
    var trailers: [HeaderField] = []
    var body: [UInt8] = []
    var closed: HTTP2ErrorCode?

    subscript(name: String) -> String? { trailers[first: name] ?? head[first: name] }
  }

  static func grpc(_ path: String, method: String = "POST", contentType: String? = "application/grpc")
    -> [HeaderField]
  {
    [
      HeaderField(":method", method), HeaderField(":scheme", "http"), HeaderField(":path", path),
      HeaderField(":authority", "localhost"), HeaderField("te", "trailers"),
    ] + (contentType.map { [HeaderField("content-type", $0)] } ?? [])
  }

  /// Sends one request and waits for the end of its stream.
  static func send(
    _ fields: [HeaderField], body: [UInt8] = [], endStream: Bool = true, to server: RPCServer
  ) async throws -> Answer {
    let (answers, continuation) = AsyncStream.makeStream(of: Answer.self)
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            Handler(fields, body, endStream: endStream, continuation))
        }
      }
      .connect(host: server.host, port: server.port).get()
    var last = Answer()
    for await answer in answers { last = answer }
    try? await channel.close()
    return last
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let session: HTTP2Session
    private let fields: [HeaderField]
    private let body: [UInt8]
    private let endStream: Bool
    private let continuation: AsyncStream<Answer>.Continuation
    private var answer = Answer()

    init(
      _ fields: [HeaderField], _ body: [UInt8], endStream: Bool,
      _ continuation: AsyncStream<Answer>.Continuation
    ) throws {
      session = try HTTP2Session(.client)
      self.fields = fields
      self.body = body
      self.endStream = endStream
      self.continuation = continuation
    }

    func channelActive(context: ChannelHandlerContext) {
      do {
        let stream = try session.submitRequest(fields, endStream: endStream && body.isEmpty)
        if !body.isEmpty {
          session.write(ByteBuffer(bytes: body), on: stream)
          if endStream { session.finish(stream) }
        }
      } catch {
        context.close(promise: nil)
      }
      pump(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      do { try session.receive(unwrapInboundIn(data)) } catch { context.close(promise: nil) }
      pump(context)
    }

    func channelInactive(context: ChannelHandlerContext) {
      continuation.yield(answer)
      continuation.finish()
    }

    private func pump(_ context: ChannelHandlerContext) {
      while let output = try? session.takeOutput() {
        for buffer in output.buffers { context.writeAndFlush(wrapOutboundOut(buffer), promise: nil) }
      }
      for event in session.takeEvents() {
        switch event {
        case .headers(_, let fields): answer.head = fields
        case .trailers(_, let fields): answer.trailers = fields
        case .data(let stream, let bytes):
          answer.body += bytes.readableBytesView
          session.consumed(bytes.readableBytes, on: stream)
        case .streamClosed(_, let code):
          answer.closed = code
          context.close(promise: nil)
        default: break
        }
      }
    }
  }
}
