private import DequeModule

/// Plain bytes that a sender has on the way: from the last acknowledged operation to the last byte
/// sent. They stay within the receiver's credit and the controller's wish, whichever is smaller.
public struct FlightWindow: Sendable {
  private struct Sent {
    var ordinal: Ordinal
    var total: UInt64
    var time: Duration
  }

  /// Bytes that share one place in `sent`, in small chunks: a window of 64 MiB takes 4096 places.
  private static let grain = 16 << 10

  /// For each chunk, or grain of them: the last operation that ended by then, and the bytes by then.
  private var sent: Deque<Sent> = []
  private var totalSent: UInt64 = 0
  private var totalAcknowledged: UInt64 = 0
  /// As the receiver's hello or its last hint says.
  public var credit: Int

  /// - Parameter credit: raised to what one operation and one chunk of full size need.
  public init(credit: Int) { self.credit = credit }

  public var bytesInFlight: Int { Int(totalSent - totalAcknowledged) }

  /// Whether a chunk of `bytes` may leave now. With a limit too small for one operation nothing
  /// would ever be acknowledged, so that much is always allowed.
  public func allows(_ bytes: Int, limit: Int) -> Bool {
    bytesInFlight + bytes <= max(SyncLimits.leastCredit, min(credit, limit))
  }

  /// - Parameters:
  ///   - lastOrdinal: `ChunkWriter.lastOrdinalTaken` after that chunk.
  ///   - now: since any moment.
  public mutating func sent(_ bytes: Int, lastOrdinal: Ordinal, now: Duration = .zero) {
    totalSent += UInt64(bytes)
    if let last = sent.last, last.ordinal == lastOrdinal { return }
    // The bytes up to the operation's end: what the chunk holds of the next one counts as in flight
    // until that is acknowledged, except for one chunk, which is the precision of this window.
    if sent.count > 1, totalSent - sent[sent.count - 2].total <= Self.grain { sent.removeLast() }
    sent.append(Sent(ordinal: lastOrdinal, total: totalSent, time: now))
  }

  /// - Returns: the bytes that this acknowledges, and how long ago the last of them were sent; no time where it
  ///   acknowledges nothing new.
  @discardableResult
  public mutating func acknowledged(
    through ordinal: Ordinal, now: Duration = .zero
  ) -> (bytes: Int, delay: Duration?) {
    let before = totalAcknowledged
    var delay: Duration?
    while let first = sent.first, first.ordinal <= ordinal {
      totalAcknowledged = first.total
      delay = now - first.time
      sent.removeFirst()
    }
    return (Int(totalAcknowledged - before), delay)
  }
}
