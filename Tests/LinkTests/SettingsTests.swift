import LinkModel
import Testing

@Suite("Settings as text")
struct SettingsTests {
  @Test(
    "a time is a number with its unit",
    arguments: [
      ("40ms", 40_000_000), ("0ms", 0), ("0.5ms", 500_000), ("250us", 250_000), ("1.5s", 1_500_000_000),
      ("1h", nil), ("60m", 3_600_000_000_000), ("61m", nil), ("40", nil), ("ms", nil), ("-1ms", nil),
      (" 1ms", nil),
      ("1 ms", nil), ("1MS", nil), ("1.ms", nil), (".5ms", nil), ("1.2.3ms", nil), ("0.1ns", nil), ("", nil),
      ("99999999999999999999s", nil), ("١ms", nil), ("1e3ms", nil),
    ] as [(String, Int64?)])
  func times(text: String, nanoseconds: Int64?) {
    #expect(Interval(text: text)?.nanoseconds == nanoseconds)
  }

  @Test(
    "a rate is in bits a second, from 1 kbit to 100 gbit",
    arguments: [
      ("100mbit", 100_000_000), ("2.5mbit", 2_500_000), ("1gbit", 1_000_000_000), ("64kbit", 64_000),
      ("1000bit", 1000), ("999bit", nil), ("0mbit", nil), ("101gbit", nil), ("100", nil), ("100Mbit", nil),
      ("100mbps", nil),
    ] as [(String, Int64?)])
  func rates(text: String, bits: Int64?) {
    #expect(Rate(text: text)?.bitsPerSecond == bits)
  }

  @Test(
    "a share is in percent",
    arguments: [
      ("1%", 10_000_000), ("0.05%", 500_000), ("100%", 1_000_000_000), ("0%", 0), ("0.0000001%", 1),
      ("0.00000001%", nil), ("100.1%", nil), ("1", nil), ("%", nil), ("-1%", nil),
    ] as [(String, Int64?)])
  func shares(text: String, parts: Int64?) {
    #expect(Share(text: text)?.parts == parts)
  }

  @Test(
    "a size is in bytes",
    arguments: [
      ("1500B", 1500), ("300KB", 300_000), ("64KiB", 65_536), ("1.5MB", 1_500_000), ("1MiB", 1_048_576),
      ("1500", nil), ("2000MB", nil), ("1kb", nil),
    ] as [(String, Int?)])
  func sizes(text: String, count: Int?) {
    #expect(bytes(text: text) == count)
  }

  @Test(
    "a list of settings reads back as it was written",
    arguments: [
      "", "delay=20ms", "jitter=1500us", "rate=unlimited", "queue=default",
      "delay=20ms,jitter=2ms,rate=2500kbit,loss=0.05%,queue=300000B",
    ])
  func roundTrip(text: String) throws {
    let change = text.isEmpty ? LinkChange() : try LinkChange(text: text)
    #expect(change.text == text)
  }

  @Test(
    "what is no setting is named",
    arguments: [
      ("rate", "'rate' is not NAME=VALUE"), ("rate=", "'' is no rate"), ("rate=10", "'10' is no rate"),
      ("speed=10mbit", "'speed' is none of delay, jitter, rate, loss, queue"),
      ("delay=1ms,", "'' is not NAME=VALUE"),
      ("loss=2", "'2' is no loss"), ("queue=full", "'full' is no queue"),
      ("rate=1mbit=2", "'1mbit=2' is no rate"),
    ])
  func wrong(text: String, reason: String) {
    #expect(throws: SettingsError(reason: reason)) { try LinkChange(text: text) }
  }

  @Test("what comes later wins, and what is not named stays")
  func followed() throws {
    let both = try LinkChange(text: "delay=20ms,rate=10mbit").followed(
      by: LinkChange(text: "rate=unlimited,loss=1%"))
    #expect(both.text == "delay=20ms,rate=unlimited,loss=1%")
    var settings = LinkSettings()
    settings.jitter = .milliseconds(1)
    both.apply(to: &settings)
    #expect(
      settings.rate == nil && settings.jitter == .milliseconds(1) && settings.delay == .milliseconds(20))
  }

  @Test("settings that contradict each other are refused")
  func faults() throws {
    var settings = LinkSettings()
    #expect(settings.fault(mtu: 1500) == nil)
    settings.jitter = .milliseconds(2)
    #expect(settings.fault(mtu: 1500) == "jitter 2ms is above the one-way delay 0ns")
    settings.delay = .milliseconds(2)
    settings.queueBytes = 1499
    #expect(settings.fault(mtu: 1500) == "queue 1499B does not hold one packet of 1500")
  }

  @Test("percentiles of lateness are right to a sixteenth, and the longest is exact")
  func lateness() {
    var lateness = Lateness()
    #expect(lateness.percentile(99) == .zero)
    for value in 1...100_000 as ClosedRange<Int64> { lateness.add(Interval(value)) }
    lateness.add(Interval(-5))
    for (percent, exact) in [(50.0, 50_000.0), (99, 99_000), (10, 10_000)] {
      let found = Double(lateness.percentile(percent).nanoseconds)
      #expect(found >= exact * 0.99 && found <= exact * 1.07, "\(percent)%: \(found)")
    }
    #expect(lateness.longest == Interval(100_000) && lateness.percentile(100) == Interval(100_000))
    lateness.add(Interval(.max))
    #expect(lateness.longest == Interval(.max) && lateness.count == 100_002)
  }
}
