import StreamDiffCore
import Testing

@Suite("what a receiver tells of itself") struct ReceiverPaceTests {
  /// Chunks of 100 kB every 10 ms. - Returns: when something was told, and what.
  private static func told(
    _ pace: inout ReceiverPace, from start: Duration, for length: Duration, decoding: Duration,
    applying: Duration
  ) -> [(time: Duration, decode: UInt64, apply: UInt64)] {
    var (time, told) = (start, [(time: Duration, decode: UInt64, apply: UInt64)]())
    while time < start + length {
      time += .milliseconds(10)
      if pace.took(100_000, decoding: decoding, applying: applying, now: time) {
        told.append((time, pace.decode, pace.apply))
      }
    }
    return told
  }

  private func isNear(_ expected: Double, _ rate: UInt64) -> Bool { abs(Double(rate) - expected) < 2 }

  @Test("rates are over the time of the work alone, told once, and again only when they differ")
  func rates() {
    var pace = ReceiverPace()
    // A tenth of the time decodes; nothing holds applying up.
    var told = Self.told(&pace, from: .zero, for: .seconds(3), decoding: .milliseconds(1), applying: .zero)
    #expect(told.count == 1 && told.first.map { isNear(100e6, $0.decode) } == true && told.first?.apply == 0)
    // The disk becomes the limit, which is told soon, and at most once in an interval.
    told = Self.told(
      &pace, from: .seconds(3), for: .seconds(4), decoding: .milliseconds(1), applying: .milliseconds(8))
    #expect(told.count > 0 && told.count <= 8)
    #expect(told.last.map { 12_400_000...14_500_000 ~= $0.apply && isNear(100e6, $0.decode) } == true)
    for (one, next) in zip(told, told.dropFirst()) { #expect(next.time - one.time >= ReceiverPace.interval) }
    // It is the limit no longer: then nothing is said of it.
    told = Self.told(&pace, from: .seconds(7), for: .seconds(8), decoding: .milliseconds(1), applying: .zero)
    #expect(told.last.map { $0.apply == 0 } == true)
  }

  @Test("of a moment's work there is nothing to tell")
  func little() {
    var pace = ReceiverPace()
    let told = Self.told(
      &pace, from: .zero, for: .seconds(3), decoding: .microseconds(20), applying: .microseconds(1))
    #expect(told.isEmpty && pace.decode == 0)
  }
}
