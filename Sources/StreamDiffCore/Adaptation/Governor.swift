private import DequeModule

/// Shares a node's sending among its sessions, by deficit round robin (Shreedhar, Varghese 1995) in bytes as they
/// travel; holds each below its own cap; and sends less while commits wait for it.
///
/// A session asks for one chunk at a time. Without a cap and while commits are not late, it has what it asks for at
/// once. Of a rate that is not enough for all, each gets the same, whatever its chunks' sizes. Times are since any
/// moment; one that moves back counts as the latest.
public struct Governor: Sendable {
  /// A session's, for as long as it is open.
  public struct Place: Hashable, Sendable {
    fileprivate let number: UInt64
  }

  /// What keeps a session from sending faster.
  public enum Hold: Hashable, Sendable {
    /// Its own cap.
    case rateMax
    /// The node sends less, for commits' sake.
    case node
  }

  /// What a turn is worth, in bytes: a default chunk. What a session leaves of it, always less, it keeps.
  public static let quantum = 64 << 10
  /// Between two changes of the node's rate.
  public static let period = Duration.milliseconds(200)
  /// In bytes per second: transfers go on, whatever commits take.
  public static let leastRate = 1.0 * 1024 * 1024
  /// By what a rate falls below what was sent, and rises again.
  static let backoff = 0.7
  static let growth = 1.1

  private struct Session {
    var cap: TokenBucket?
    var deficit = 0
    /// Bytes it waits for.
    var request: Int?
    var hold: Hold?
  }

  private var last = 0 as UInt64
  private var sessions: [Place: Session] = [:]
  /// Who waits for a turn, and who waits at its cap.
  private var round: Deque<Place> = []
  private var capped: [Place] = []

  /// `nil`: nothing is held back.
  private var node: TokenBucket?
  private var commits = CommitYield()
  private var now = Duration.zero
  private var periodStart = Duration.zero
  /// Of this period.
  private var sent = 0
  private var isHeld = false
  private var lastRate = 0.0
  /// How often it has slowed sessions for commits.
  public private(set) var slowdowns: UInt64 = 0

  public init() {}

  /// Bytes per second of all sessions together; `nil`: as much as they like.
  public var rate: Double? { node?.rate }

  /// Bytes per second that all sessions together sent lately.
  public mutating func sentRate(now: Duration) -> Double {
    advance(to: now)
    return lastRate
  }

  // MARK: Sessions

  public mutating func join(rateMax: ByteRate?, now: Duration) -> Place {
    advance(to: now)
    last += 1
    let place = Place(number: last)
    sessions[place] = Session(
      cap: rateMax.map { TokenBucket(rate: Double($0.bytesPerSecond), now: self.now) })
    return place
  }

  /// What it waited for, if anything, is not granted any more.
  public mutating func leave(_ place: Place) {
    guard sessions.removeValue(forKey: place) != nil else { return }
    round.removeAll { $0 == place }
    capped.removeAll { $0 == place }
    if sessions.isEmpty { node = nil }
  }

  /// Sessions that are open.
  public var count: Int { sessions.count }

  public func contains(_ place: Place) -> Bool { sessions[place] != nil }

  /// Holds for what waits too: ask for `grants` then.
  public mutating func change(_ place: Place, rateMax: ByteRate?, now: Duration) {
    advance(to: now)
    guard let rateMax else {
      sessions[place]?.cap = nil
      return
    }
    let rate = Double(rateMax.bytesPerSecond)
    guard rate != sessions[place]?.cap?.rate else { return }
    if sessions[place]?.cap?.change(to: rate, now: self.now) == nil {
      sessions[place]?.cap = TokenBucket(rate: rate, now: self.now)
    }
  }

  /// What has held it back since this was last asked, or does now.
  public mutating func takeHold(_ place: Place) -> Hold? {
    guard let session = sessions[place] else { return nil }
    if session.request == nil { sessions[place]?.hold = nil }
    return session.hold
  }

  // MARK: Sending

  /// - Parameter bytes: above zero. The session waits for nothing else.
  /// - Returns: whether it may send them now; otherwise `grants` will name it.
  public mutating func ask(_ place: Place, for bytes: Int, now: Duration) -> Bool {
    advance(to: now)
    guard var session = sessions[place] else { preconditionFailure("who asks to send has no place") }
    precondition(bytes > 0 && session.request == nil, "\(bytes) bytes, after \(session.request ?? 0)")
    let isCapped = session.cap.map { $0.ready(for: bytes) > self.now } ?? false
    if !isCapped, round.isEmpty, node.map({ $0.ready(for: bytes) <= self.now }) ?? true {
      session.cap?.take(bytes, now: self.now)
      sessions[place] = session
      count(bytes)
      return true
    }
    session.request = bytes
    if isCapped { session.hold = .rateMax }
    sessions[place] = session
    if isCapped { capped.append(place) } else { enter(place) }
    return false
  }

  /// - Returns: who may send what it asked for, in order.
  public mutating func grants(now: Duration) -> [Place] {
    advance(to: now)
    guard !round.isEmpty || !capped.isEmpty else { return [] }
    releaseCapped()
    var granted: [Place] = []
    while let front = front(), front.ready <= self.now {
      let (place, bytes) = (front.place, front.bytes)
      guard front.isItsTurn || takesTurn(place, bytes) else { continue }
      // A turn may have begun with less than it wants.
      guard node.map({ $0.ready(for: bytes) <= self.now }) ?? true else { break }
      round.removeFirst()
      sessions[place]?.request = nil
      sessions[place]?.deficit -= bytes
      sessions[place]?.cap?.take(bytes, now: self.now)
      count(bytes)
      granted.append(place)
    }
    for place in round { sessions[place]?.hold = .node }
    if !round.isEmpty { isHeld = true }
    return granted
  }

  /// When `grants` may have some, unless something happens before; `nil` while nobody waits.
  public func nextGrant() -> Duration? {
    (capped.compactMap(ready) + [front()?.ready].compactMap(\.self)).min()
  }

  private mutating func count(_ bytes: Int) {
    sent += bytes
    node?.take(bytes, now: now)
  }

  /// `nil` without a cap.
  private func ready(_ place: Place) -> Duration? {
    guard let session = sessions[place] else { return nil }
    return session.cap?.ready(for: session.request ?? 0) ?? now
  }

  private mutating func releaseCapped() {
    let waiting = exchange(&capped, with: [])
    for place in waiting {
      if let ready = ready(place), ready > now { capped.append(place) } else { enter(place) }
    }
  }

  /// Who has enough left of its turn goes on with it, before the others.
  private mutating func enter(_ place: Place) {
    guard let session = sessions[place], let bytes = session.request else { return }
    if session.deficit >= bytes { round.prepend(place) } else { round.append(place) }
  }

  /// Who is next, and when. A turn begins when all of it could be sent: until then those come back who have just sent
  /// something, and have theirs.
  private func front() -> (place: Place, bytes: Int, isItsTurn: Bool, ready: Duration)? {
    guard let place = round.first, let session = sessions[place], let bytes = session.request else {
      return nil
    }
    let isItsTurn = session.deficit >= bytes
    return (place, bytes, isItsTurn, node?.ready(for: isItsTurn ? bytes : Self.quantum) ?? now)
  }

  /// - Returns: whether the turn is enough for what it wants. Otherwise it waits for the next one, behind the others.
  private mutating func takesTurn(_ place: Place, _ bytes: Int) -> Bool {
    let deficit = (sessions[place]?.deficit ?? 0) + Self.quantum
    sessions[place]?.deficit = deficit
    if deficit >= bytes { return true }
    round.append(round.removeFirst())
    return false
  }

  // MARK: Commits

  /// A write that is no part of a transfer was applied, so long after it was accepted.
  public mutating func committed(in latency: Duration, now: Duration) {
    advance(to: now)
    commits.committed(in: latency)
  }

  /// Ends the period that is over. Late commits lower the rate from what was sent; then it rises, until nobody is
  /// held back by it.
  private mutating func advance(to time: Duration) {
    now = max(now, time)
    let length = now - periodStart
    guard length >= Self.period else { return }
    let sentRate = Double(sent) / length.seconds
    lastRate = sentRate
    switch commits.verdict(now: now) {
    case .late:
      // So little is not what they wait for.
      if sentRate > Self.leastRate {
        slowdowns += 1
        use(max(Self.leastRate, Self.backoff * min(sentRate, rate ?? sentRate)))
      }
    case .free:
      if isHeld, let rate { use(rate * Self.growth) } else { node = nil }
    case .unknown: break
    }
    (periodStart, sent, isHeld) = (now, 0, !round.isEmpty)
  }

  private mutating func use(_ rate: Double) {
    if node?.change(to: rate, now: now) == nil { node = TokenBucket(rate: rate, now: now) }
  }
}
