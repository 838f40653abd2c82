import DequeModule
package import StreamDiffWire

/// Who of a connection's streams makes its next long message. What is made on demand (a page of a scan) is made
/// only where there is room to hold it until the client reads it, so that streams which nobody reads, however
/// many, hold no more than their connection may.
package struct MessageRoom {
  package enum Answer: Hashable {
    case grant(StreamID)
    /// The server has no room for anybody.
    case refuse(StreamID)
  }

  /// Streams in the order in which they asked. Those that sent one before come first: somebody reads them.
  private var continuing: Deque<StreamID> = []
  private var beginning: Deque<StreamID> = []
  /// What they asked for.
  private var wishes: [StreamID: Int] = [:]
  /// For messages that have not come yet.
  private var grants: [StreamID: Int] = [:]
  package private(set) var grantedBytes = 0

  package init() {}

  /// - Parameter bytes: of the longest message that it may become.
  package mutating func ask(_ stream: StreamID, for bytes: Int, hasSent: Bool) {
    wishes[stream] = bytes
    if hasSent { continuing.append(stream) } else { beginning.append(stream) }
  }

  /// The message has come and counts by itself, or the call is over.
  package mutating func settle(_ stream: StreamID) {
    wishes[stream] = nil
    grantedBytes -= grants.removeValue(forKey: stream) ?? 0
  }

  /// - Parameters:
  ///   - held: by this connection's messages that have not left.
  ///   - others: held by all other connections of the server.
  /// - Returns: `nil` when those that wait have to wait on; something this connection holds will leave, or be
  ///   cut as unread.
  package mutating func next(held: Int, others: Int, limits: RPCLimits) -> Answer? {
    let held = held + grantedBytes
    if let answer = Self.next(
      of: &continuing, &wishes, held: held, others: others, bound: limits.connectionPageBytes, limits)
    {
      return note(answer)
    }
    return Self.next(
      of: &beginning, &wishes, held: held, others: others, bound: limits.connectionFirstPageBytes, limits
    ).map { note($0) }
  }

  private mutating func note(_ answer: (Answer, bytes: Int)) -> Answer {
    if case .grant(let stream) = answer.0 {
      grants[stream] = answer.bytes
      grantedBytes += answer.bytes
    }
    return answer.0
  }

  private static func next(
    of queue: inout Deque<StreamID>, _ wishes: inout [StreamID: Int], held: Int, others: Int, bound: Int,
    _ limits: RPCLimits
  ) -> (Answer, bytes: Int)? {
    while let stream = queue.first, wishes[stream] == nil { queue.removeFirst() }
    guard let stream = queue.first, let bytes = wishes[stream] else { return nil }
    let isOver = others + held + bytes > limits.serverSendBytes
    if held > 0 {
      // Beyond half of what the server has, one at a time.
      let mustShrink = limits.mustShrink(held, of: others + held, bound: limits.serverSendBytes / 2)
      guard held + bytes <= bound, !isOver, !mustShrink else { return nil }
    }
    queue.removeFirst()
    wishes[stream] = nil
    return (isOver ? .refuse(stream) : .grant(stream), bytes)
  }
}
