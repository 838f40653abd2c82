import NIOCore
import StreamDiffWire

/// A call that a client connection has open, from its request until its stream closes.
final class ClientCall {
  let stream: StreamID
  let pipe: CallPipe
  let deadline: NIODeadline?
  var deframer: MessageDeframer
  var hasHalfClosed = false
  var hasHead = false
  /// How the call ended was told to the pipe: what comes later changes nothing.
  var hasEnded = false

  init(stream: StreamID, pipe: CallPipe, deadline: NIODeadline?, messageBytes: Int) {
    self.stream = stream
    self.pipe = pipe
    self.deadline = deadline
    deframer = MessageDeframer(limit: messageBytes)
  }
}
