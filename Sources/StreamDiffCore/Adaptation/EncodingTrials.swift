/// Changes that have yet to prove themselves, and encodings that did not: those are left alone for a while, longer each
/// time.
struct EncodingTrials: Sendable {
  /// Of the goodput before a change: less takes it back.
  static let disappointing = 0.93
  /// How long an encoding is left alone: at first, and at most.
  private static let leastBan = Duration.seconds(5)
  private static let longestBan = Duration.seconds(120)

  /// What was in use before a change, and what got through then, in plain bytes per second.
  struct Before: Sendable {
    var encoding: ChunkEncoding
    var goodput: Double
  }

  private struct Ban: Sendable {
    var until: Duration
    var length: Duration
  }

  private var open: Before?
  private var bans: [ChunkEncoding: Ban] = [:]

  var isOpen: Bool { open != nil }

  func allow(_ encoding: ChunkEncoding, _ now: Duration) -> Bool {
    bans[encoding].map { $0.until <= now } ?? true
  }

  mutating func begin(from encoding: ChunkEncoding, goodput: Double) {
    open = Before(encoding: encoding, goodput: goodput)
  }

  /// After a while: was it right?
  ///
  /// Where the network is full its rate and the ratio have told; elsewhere an encoding can cost what no estimate shows,
  /// as a processor that the receiver needs.
  /// - Returns: what to go back to; `nil` if `encoding` stays.
  mutating func conclude(
    _ encoding: ChunkEncoding, goodput: Double, isBusy: Bool, _ now: Duration
  ) -> Before? {
    guard let before = open.take() else { return nil }
    guard !isBusy, goodput < Self.disappointing * before.goodput else {
      bans[encoding] = nil
      return nil
    }
    let length = min(Self.longestBan, bans[encoding].map { $0.length * 2 } ?? Self.leastBan)
    bans[encoding] = Ban(until: now + length, length: length)
    return before
  }
}
