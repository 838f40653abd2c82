public import NIOCore
import Synchronization

/// Where a connection stands, for those who look from other loops: what to close when there are too many.
public final class ConnectionCard: Sendable {
  public enum Stage: UInt8, Sendable {
    /// It has not shown that it speaks HTTP/2.
    case silent
    case idle
    case busy
  }

  private let stage: Atomic<UInt8>
  private let since: Atomic<UInt64>

  public init(_ stage: Stage = .silent, now: NIODeadline) {
    self.stage = Atomic(stage.rawValue)
    since = Atomic(now.uptimeNanoseconds)
  }

  /// On the connection's loop alone.
  public func become(_ new: Stage, now: NIODeadline) {
    guard stage.load(ordering: .relaxed) != new.rawValue else { return }
    since.store(now.uptimeNanoseconds, ordering: .relaxed)
    stage.store(new.rawValue, ordering: .relaxed)
  }

  /// Who gives way to a new connection: the oldest silent one; else the one without calls for the longest,
  /// and for `idleGrace` at least. Nobody who has a call.
  public static func victim<ID>(
    among cards: some Sequence<(id: ID, card: ConnectionCard)>, idleGrace: TimeAmount, now: NIODeadline
  ) -> ID? {
    var oldest: (id: ID, stage: UInt8, since: UInt64)?
    for (id, card) in cards {
      let (stage, since) = (card.stage.load(ordering: .relaxed), card.since.load(ordering: .relaxed))
      guard stage != Stage.busy.rawValue else { continue }
      if stage == Stage.idle.rawValue, now < .uptimeNanoseconds(since) + idleGrace { continue }
      if let oldest, (oldest.stage, oldest.since) <= (stage, since) { continue }
      oldest = (id, stage, since)
    }
    return oldest?.id
  }
}
