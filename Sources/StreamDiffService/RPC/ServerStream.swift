public import NIOCore
public import StreamDiffWire
import Synchronization

/// The server's end of a streaming call.
public final class ServerStream: Sendable {
  public let path: String
  public let metadata: Metadata
  public let deadline: NIODeadline?
  /// The client's address.
  public let peer: String
  public let link: ConnectionLink
  private let pipe: CallPipe
  private let trailers = Mutex(Metadata())

  init(
    path: String, metadata: Metadata, deadline: NIODeadline?, peer: String, link: ConnectionLink,
    pipe: CallPipe
  ) {
    self.path = path
    self.metadata = metadata
    self.deadline = deadline
    self.peer = peer
    self.link = link
    self.pipe = pipe
  }

  /// The client's next message; `nil` once it has sent all. Its flow-control credit returns when it is
  /// taken here. One task reads at a time.
  /// - Throws: how the call ended: CANCELLED, DEADLINE_EXCEEDED, or what broke it.
  public func next() async throws(RPCError) -> ByteBuffer? {
    try await pipe.next()
  }

  /// Waits until the connection may hold one more message of at most so many bytes: to be made then, and sent.
  /// One task asks at a time.
  /// - Throws: how the call ended.
  public func room(for bytes: Int) async throws(RPCError) {
    try await pipe.room(for: bytes)
  }

  /// Queues a message, and waits while over `RPCLimits.sendQueueBytes` are unsent.
  /// - Throws: how the call ended.
  public func send(_ message: ByteBuffer) async throws(RPCError) {
    try await pipe.send(message)
  }

  /// Sends the response's head now. Without it the head leaves with the first message.
  public func sendInitialMetadata(_ metadata: Metadata) {
    pipe.setInitialMetadata(metadata)
  }

  /// Leaves with the status when the handler ends; trailers that it throws in an `RPCError` take precedence.
  public func setTrailers(_ metadata: Metadata) {
    trailers.withLock { $0 = metadata }
  }

  /// Ends the call as its handler ended.
  func finish(_ status: GRPCStatus, _ thrown: Metadata = Metadata()) {
    pipe.end(.finish(status, thrown.isEmpty ? trailers.withLock { $0 } : thrown))
  }
}
