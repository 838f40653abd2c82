/// What a receiver can take, by what holds it up: plain bytes over the time that decoding them takes, and over the time
/// for which whoever applies them lets it wait. Of what holds nothing up there is nothing to tell.
public struct ReceiverPace: Sendable {
  /// Between two looks: half of what is known at one is forgotten by the next.
  public static let interval = Duration.milliseconds(500)
  /// Less of such work tells more of the clock, and of who else wants the processor.
  static let leastTime = Duration.milliseconds(5)
  /// A rate that differs by less of itself is the same.
  static let precision = 0.125

  private struct Work {
    var bytes = 0.0
    var seconds = 0.0

    mutating func add(_ bytes: Int, _ time: Duration) {
      self.bytes += Double(bytes)
      seconds += time.seconds
    }

    /// - Returns: plain bytes per second; 0 where there is nothing to tell.
    mutating func look() -> UInt64 {
      defer { (bytes, seconds) = (bytes / 2, seconds / 2) }
      return seconds >= ReceiverPace.leastTime.seconds ? UInt64(min(1e15, bytes / seconds)) : 0
    }
  }

  /// Plain bytes per second, as they were told last; 0 says nothing.
  public private(set) var decode: UInt64 = 0
  public private(set) var apply: UInt64 = 0
  private var decoding = Work()
  private var applying = Work()
  private var last: Duration?

  public init() {}

  /// A chunk of so many plain bytes took so long.
  /// - Returns: whether there is something new to tell.
  public mutating func took(_ bytes: Int, decoding: Duration, applying: Duration, now: Duration) -> Bool {
    self.decoding.add(bytes, decoding)
    self.applying.add(bytes, applying)
    guard let last else {
      self.last = now
      return false
    }
    guard now - last >= Self.interval else { return false }
    self.last = now
    let (decode, apply) = (self.decoding.look(), self.applying.look())
    guard Self.differs(decode, self.decode) || Self.differs(apply, self.apply) else { return false }
    (self.decode, self.apply) = (decode, apply)
    return true
  }

  private static func differs(_ rate: UInt64, _ told: UInt64) -> Bool {
    guard rate > 0, told > 0 else { return rate != told }
    return abs(Double(rate) - Double(told)) > precision * Double(told)
  }
}
