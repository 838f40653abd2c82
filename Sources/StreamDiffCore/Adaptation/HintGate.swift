/// Which of a receiver's hints a sender follows, and when: one at once, and of what comes before the next look only the
/// last, then. However many a peer sends, they cost no more work, and no more lines of a trace, than looks do.
public struct HintGate: Sendable {
  /// The one that is followed.
  public private(set) var hint = AdaptationHint()
  private var waiting: AdaptationHint?
  private var hasPassed = false

  public init() {}

  /// - Returns: the hint to follow now.
  public mutating func receive(_ hint: AdaptationHint) -> AdaptationHint? {
    waiting = hint == self.hint ? nil : hint
    return hasPassed ? nil : pass()
  }

  /// - Returns: the hint to follow now.
  public mutating func look() -> AdaptationHint? {
    hasPassed = false
    return pass()
  }

  private mutating func pass() -> AdaptationHint? {
    guard let next = exchange(&waiting, with: nil) else { return nil }
    (hint, hasPassed) = (next, true)
    return next
  }
}
