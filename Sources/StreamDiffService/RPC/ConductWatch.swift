public import NIOCore
public import StreamDiffWire

/// Decides when a peer sends more frames that bring nothing than an honest one would. Pure: time is an argument
/// and never moves back.
public struct ConductWatch: Sendable {
  /// Sends are answered by WINDOW_UPDATE, of the stream and of the connection, by some peers twice.
  private static let updatesPerSentFrame = 4

  /// What may still be spent: a burst, refilled at a rate.
  private struct Allowance: Sendable {
    let burst: Int
    let perSecond: Int
    var left: Int

    init(burst: Int, perSecond: Int) { (self.burst, self.perSecond, left) = (burst, perSecond, burst) }

    mutating func refill(nanoseconds: Int64) {
      // Longer than it takes to refill all is the same as that.
      let most = Int64(burst / max(perSecond, 1) + 1) * 1_000_000_000
      left = min(burst, left + Int(Int64(perSecond) * min(nanoseconds, most) / 1_000_000_000))
    }
  }

  private var resets: Allowance
  private var idle: Allowance
  private var refilled: NIODeadline

  public init(limits: RPCLimits, now: NIODeadline) {
    resets = Allowance(burst: limits.resetBurst, perSecond: limits.resetsPerSecond)
    idle = Allowance(burst: limits.idleFrameBurst, perSecond: limits.idleFramesPerSecond)
    refilled = now
  }

  /// - Returns: what is too much, if something is: the connection should end.
  public mutating func spend(_ counts: FrameCounts, now: NIODeadline) -> String? {
    guard counts != FrameCounts() else { return nil }
    // At least a millisecond at a time, so that fractions are not lost.
    let passed = (now - refilled).nanoseconds
    if passed >= 1_000_000 {
      resets.refill(nanoseconds: passed)
      idle.refill(nanoseconds: passed)
      refilled = now
    }
    resets.left -= counts.resets
    idle.left -= max(0, counts.idle - counts.sentData * Self.updatesPerSentFrame)
    if resets.left < 0 { return "too many resets" }
    if idle.left < 0 { return "too many frames that carry nothing" }
    return nil
  }
}
