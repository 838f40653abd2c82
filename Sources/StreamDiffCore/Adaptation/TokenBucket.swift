/// A rate with a burst. Over any stretch of time T it lets at most `rate × T` and a burst pass (one request, where that
/// is larger), and from its start on at most `rate × T` and what one request is above a burst: it begins empty, so that
/// who comes again gains nothing.
struct TokenBucket: Hashable, Sendable {
  /// How much may be caught up at once: more than a timer is late.
  static let burstTime = 0.05
  /// Bytes. At low rates a default chunk still goes out whole, without debt.
  static let leastBurst = 64 << 10

  /// Bytes per second.
  private(set) var rate: Double
  /// When it will be full if nothing is taken. As a time, and not as bytes, it is exact: what is ready then is ready.
  private var full: Duration

  /// - Parameter rate: bytes per second; less than one counts as one.
  init(rate: Double, now: Duration) {
    self.rate = max(1, rate)
    full = now
    full += time(for: burst)
  }

  private var burst: Double { max(Double(Self.leastBurst), rate * Self.burstTime) }

  private func time(for bytes: Double) -> Duration { Duration(rounding: bytes / rate) }

  /// When so many bytes may pass. More than a burst at once pass when it is full, and leave a debt.
  func ready(for bytes: Int) -> Duration { full - time(for: max(0, burst - Double(bytes))) }

  mutating func take(_ bytes: Int, now: Duration) { full = max(full, now) + time(for: Double(bytes)) }

  /// What has gathered stays, up to a burst of the new rate.
  mutating func change(to rate: Double, now: Duration) {
    let gathered = burst - max(0, (full - now).seconds * self.rate)
    self.rate = max(1, rate)
    full = now + time(for: max(0, burst - gathered))
  }
}
