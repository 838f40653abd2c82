import StreamDiffCore

/// Sessions that always have something to send, beside somebody who writes, on virtual time.
struct GovernedNode {
  struct Session {
    var place: Governor.Place
    var chunk: ClosedRange<Int>
    /// Between being granted and asking again.
    var pause: Duration
    /// When it asks; `nil` while it waits.
    var asksAt: Duration?
    var waitsFor = 0
    var waitsSince = Duration.zero
    /// How long it has waited at most, since `forget`.
    var longestWait = Duration.zero
    /// Bytes granted, with when.
    var grants: [(time: Duration, bytes: Int)] = []
  }

  var governor = Governor()
  private(set) var sessions: [Session] = []
  private(set) var now = Duration.zero
  private var random: SplitMix
  /// Written so often; `nil`: never.
  var writes: Duration?
  /// How long a write takes while so many bytes per second are sent.
  var latency: (Double) -> Duration = { _ in .zero }
  private var nextWrite = Duration.zero
  /// Grants of the last 100 ms, from `oldest` on, and their sum.
  private var lately: [(time: Duration, bytes: Int)] = []
  private var oldest = 0
  private var latelyBytes = 0

  init(seed: Int) { random = SplitMix(seed: seed) }

  mutating func join(chunk: ClosedRange<Int>, pause: Duration, rateMax: UInt64? = nil) {
    let place = governor.join(rateMax: rateMax.map { ByteRate(bytesPerSecond: $0) }, now: now)
    sessions.append(Session(place: place, chunk: chunk, pause: pause, asksAt: now))
  }

  mutating func leave(_ number: Int) { governor.leave(sessions.remove(at: number).place) }

  mutating func forget() {
    for number in sessions.indices {
      sessions[number].grants.removeAll()
      sessions[number].longestWait = .zero
    }
  }

  /// Bytes per second that were granted in the last 100 ms.
  var rate: Double { Double(latelyBytes) / 0.1 }

  mutating func run(for time: Duration) {
    let end = now + time
    if writes != nil { nextWrite = max(nextWrite, now) }
    while let next = nextEvent(), next <= end {
      precondition(next >= now, "nothing happens in the past")
      now = next
      forgetOld()
      if let writes, nextWrite <= now {
        governor.committed(in: latency(rate), now: now)
        nextWrite += writes
      }
      for number in sessions.indices where sessions[number].asksAt.map({ $0 <= now }) ?? false { ask(number) }
      for place in governor.grants(now: now) {
        guard let number = sessions.firstIndex(where: { $0.place == place }) else {
          preconditionFailure("granted to somebody who has left")
        }
        granted(number)
      }
    }
    now = end
    forgetOld()
  }

  private mutating func forgetOld() {
    while oldest < lately.count, now - lately[oldest].time > .milliseconds(100) {
      latelyBytes -= lately[oldest].bytes
      oldest += 1
    }
  }

  private mutating func nextEvent() -> Duration? {
    var times = sessions.compactMap(\.asksAt)
    if let time = governor.nextGrant() { times.append(max(time, now)) }
    if writes != nil { times.append(nextWrite) }
    return times.min()
  }

  private mutating func ask(_ number: Int) {
    let bytes = Int.random(in: sessions[number].chunk, using: &random)
    sessions[number].asksAt = nil
    (sessions[number].waitsFor, sessions[number].waitsSince) = (bytes, now)
    if governor.ask(sessions[number].place, for: bytes, now: now) { granted(number) }
  }

  private mutating func granted(_ number: Int) {
    let session = sessions[number]
    precondition(session.waitsFor > 0, "granted to somebody who did not ask")
    sessions[number].grants.append((now, session.waitsFor))
    lately.append((now, session.waitsFor))
    latelyBytes += session.waitsFor
    sessions[number].longestWait = max(session.longestWait, now - session.waitsSince)
    sessions[number].waitsFor = 0
    // A nanosecond at least: a session that takes no time at all would never let time pass.
    let most = max(1, session.pause / .nanoseconds(1))
    sessions[number].asksAt = now + .nanoseconds(Int64(Double.random(in: 1...most, using: &random)))
  }
}

extension GovernedNode.Session {
  var bytes: Int { grants.reduce(0) { $0 + $1.bytes } }

  /// The most that any stretch of time had above what `rate` brings in it.
  func excess(over rate: Double) -> Double {
    var (level, most) = (0.0, 0.0)
    var last = Duration.zero
    for (time, bytes) in grants {
      level = max(0, level - (time - last) / .seconds(1) * rate) + Double(bytes)
      most = max(most, level)
      last = time
    }
    return most
  }
}
