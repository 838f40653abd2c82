import NIOCore
import StreamDiffWire

/// A call that a server connection has open, from its headers until its stream closes.
final class ServerCall {
  enum Kind {
    /// The request's message, once it is whole.
    case unary(@Sendable (UnaryCall) -> Void, request: ByteBuffer?)
    case stream(CallPipe, Task<Void, Never>)
  }

  let stream: StreamID
  let head: GRPCRequestHead
  let deadline: NIODeadline?
  var kind: Kind
  var deframer: MessageDeframer
  /// Bytes received of a message that has not come whole.
  var incompleteBytes = 0
  var hasSentHead = false
  /// The status was decided: nothing that comes later changes it.
  var isAnswered = false

  init(stream: StreamID, head: GRPCRequestHead, deadline: NIODeadline?, kind: Kind, messageBytes: Int) {
    self.stream = stream
    self.head = head
    self.deadline = deadline
    self.kind = kind
    deframer = MessageDeframer(limit: messageBytes)
  }
}
