public import NIOCore
public import StreamDiffWire

/// A call with one message each way, to be answered exactly once: further answers, and one that comes
/// after a cancellation or the deadline, do nothing.
public struct UnaryCall: Sendable {
  public let request: ByteBuffer
  public let metadata: Metadata
  public let deadline: NIODeadline?
  /// The connection's loop, on which the handler is called.
  public let eventLoop: any EventLoop

  let stream: StreamID
  let connection: NIOLoopBound<ServerConnection>
  let mailbox: LoopMailbox
  /// The client's address.
  public let peer: String

  /// May be called on any thread; answers from other threads share one wake-up of the loop and one
  /// write to the socket.
  public func respond(_ message: ByteBuffer, trailers: Metadata = Metadata()) {
    answer { [stream] connection in connection.respond(message, trailers, on: stream) }
  }

  /// As `respond`.
  public func fail(_ status: GRPCStatus, trailers: Metadata = Metadata()) {
    answer { [stream] connection in connection.fail(status, trailers, on: stream) }
  }

  private func answer(_ body: @escaping @Sendable (ServerConnection) -> Void) {
    if eventLoop.inEventLoop, connection.value.isInBurst {
      body(connection.value)
    } else {
      mailbox.post { [connection] in body(connection.value) }
    }
  }
}
