import NIOCore
import StreamDiffWire

/// A call that a server connection has open, from its headers until its stream closes.
final class ServerCall {
  enum Kind {
    case unary(UnaryState)
    case stream(CallPipe, Task<Void, Never>)
  }

  struct UnaryState {
    let body: @Sendable (UnaryCall) -> Void
    /// Its answer may be long: only some are begun at once.
    let isLookup: Bool
    /// The request's message, from when it is whole until the handler has it.
    var request: ByteBuffer?
    var isBegun = false
  }

  let stream: StreamID
  let head: GRPCRequestHead
  let deadline: NIODeadline?
  var kind: Kind
  var deframer: MessageDeframer
  var watch: CallWatch
  /// Messages that came whole.
  var messages: UInt64 = 0
  /// Bytes of whole messages that wait for the application, with their prefixes.
  var waitingBytes = 0
  /// Bytes of a message that has not come whole.
  var partialBytes = 0
  var hasSentHead = false
  var hasSentMessage = false
  /// It asks for room before it makes a message.
  var asksForRoom = false
  /// The status was decided: nothing that comes later changes it.
  var isAnswered = false
  var hasRemoteEnded = false
  /// Unary: the answer is in the session, and the stream is open.
  var hasUnsentAnswer = false

  init(
    stream: StreamID, head: GRPCRequestHead, deadline: NIODeadline?, kind: Kind, messageBytes: Int,
    now: NIODeadline
  ) {
    self.stream = stream
    self.head = head
    self.deadline = deadline
    self.kind = kind
    deframer = MessageDeframer(limit: messageBytes)
    watch = CallWatch(now: now)
  }

  /// A lookup that is begun and not answered.
  var isOpenLookup: Bool {
    if case .unary(let unary) = kind { unary.isLookup && unary.isBegun } else { false }
  }

  /// Bytes of the message that its client owes us now.
  var dueMessageBytes: Int? {
    // With messages waiting here, the next one may lack our credit.
    if isAnswered || hasRemoteEnded || waitingBytes > 0 { return nil }
    return messages == 0 || partialBytes > 0 ? partialBytes : nil
  }
}
