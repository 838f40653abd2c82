public import NIOCore
public import StreamDiffWire

/// The client's end of a call. A call that is let go before its end is cancelled.
public final class ClientStream: Sendable {
  private let pipe: CallPipe
  public let link: ConnectionLink

  init(pipe: CallPipe, link: ConnectionLink) { (self.pipe, self.link) = (pipe, link) }

  deinit { pipe.end(.cancel) }

  /// The server's next message; `nil` once the call has ended with OK. Its flow-control credit returns
  /// when it is taken here. One task reads at a time.
  /// - Throws: any other end of the call.
  public func next() async throws(RPCError) -> ByteBuffer? {
    try await pipe.next()
  }

  /// Queues a message, and waits while over `RPCLimits.sendQueueBytes` are unsent.
  /// - Throws: how the call ended. (The server may end it while messages of its are still to be taken.)
  public func send(_ message: ByteBuffer) async throws(RPCError) {
    try await pipe.send(message)
  }

  /// Tells the server that no message follows.
  public func halfClose() { pipe.end(.halfClose) }

  /// Ends the call at once, at both ends; `next` throws CANCELLED.
  public func cancel() { pipe.end(.cancel) }

  /// Empty until the head of the response has come.
  public var initialMetadata: Metadata { pipe.head }

  /// What came with the status; empty until then.
  public var trailers: Metadata { pipe.trailers }
}
