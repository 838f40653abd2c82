import StreamDiffCore
import Testing

@Suite("how tunables are written") struct TunableTests {
  private static func settings(_ values: [(String, String)]) throws -> AdaptationSettings {
    var settings = AdaptationSettings()
    for (name, value) in values { try settings.set(name, to: value) }
    return settings
  }

  @Test(
    "what is set reads back, as a person would write it",
    arguments: [
      ("loss-threshold", "7%", "7%"), ("loss-threshold", "0.5%", "0.5%"),
      ("loss-threshold", "0.07000%", "0.07%"),
      ("loss-threshold", "100%", "100%"), ("loss-threshold", "0%", "0%"),
      ("loss-threshold", "0.00001%", "0.00001%"),
      ("loss-threshold", "12.3456789%", "12.3456789%"),
      ("rate-max", "12MB", "12MB/s"), ("rate-max", "100Mbit", "12500kB/s"),
      ("rate-max", "50Mbit/s", "6250kB/s"),
      ("rate-max", "1000000", "1MB/s"), ("rate-max", "1025/s", "1025B/s"), ("rate-max", "3MiB", "3MiB/s"),
      ("rate-max", "64KB", "64kB/s"),
    ])
  func written(name: String, text: String, expected: String) throws {
    let tunable = try Tunable(named: name)
    let settings = try Self.settings([(name, text)])
    #expect(settings.text(of: tunable) == expected)
    #expect(try Self.settings([(name, expected)]) == settings)
  }

  @Test("every share reads back as the same number", arguments: 0..<300)
  func shares(seed: Int) {
    var random = SplitMix(seed: seed)
    for scale in [1, 1e-3, 1e-6, 1e-300] {
      let share = Double.random(in: 0...1, using: &random) * scale
      let text = "\(Percentage(share))"
      #expect(Percentage(text)?.share == share, "\(text)")
    }
  }

  @Test(
    "what may mean bits or bytes, a half or half a percent, is refused with what to write",
    arguments: [
      ("rate-max", "100Mb", ["100Mbit", "100MB"]), ("rate-max", "100mb/s", ["100mbit", "100mB"]),
      ("rate-max", "12Gbps", ["12Gbit", "12GB"]), ("rate-max", "9000b", ["9000bit", "9000B"]),
      ("chunk", "64kb", ["1 to 1MiB", "kB", "KiB"]), ("inflight-max", "64Mib", ["MiB"]),
      ("chunk-max", "64k", ["kB"]),
      ("loss-threshold", "0.5", ["as 0.5%"]), ("loss-threshold", "1e-3%", ["as 0.5%"]),
      ("loss-threshold", "-1%", ["as 0.5%"]), ("loss-threshold", "%", ["as 0.5%"]),
    ])
  func ambiguous(name: String, text: String, words: [String]) {
    let error = #expect(throws: TunableError.self) { try Self.settings([(name, text)]) }
    for word in words { #expect(error?.detail.contains(word) == true, "\(String(describing: error))") }
  }

  @Test(
    "wishes are held against each other, and against nothing that they do not name",
    arguments: [
      ([("chunk-min", "128KiB")], nil), ([("level-min", "15")], nil), ([("level-max", "-3")], nil),
      ([("policy", "fixed"), ("chunk", "1MiB"), ("level", "19")], nil),
      ([("policy", "fixed"), ("chunk-max", "4KiB"), ("level-min", "3")], nil),
      ([("chunk-min", "32KiB"), ("chunk-max", "16KiB")], "chunk-min 32KiB is above chunk-max 16KiB"),
      (
        [("policy", "fixed"), ("level", "9"), ("level-max", "3")],
        "level 9 is not between level-min -7 and level-max 3"
      ),
      ([("chunk-max", "2MiB")], "chunk-max '2MiB': it takes 1 to 1MiB"),
    ] as [([(String, String)], String?)])
  func wishes(wishes: [(String, String)], detail: String?) {
    let settings = wishes.map { Setting(name: $0, value: $1) }
    guard let detail else {
      #expect(throws: Never.self) { try AdaptationSettings.check(wishes: settings) }
      return
    }
    let error = #expect(throws: TunableError.self) { try AdaptationSettings.check(wishes: settings) }
    #expect(error?.detail.hasPrefix(detail) == true, "\(String(describing: error))")
  }

  @Test(
    "a wish that comes to nothing, unless the sender's own policy takes it, is named",
    arguments: [
      ([("level", "9")], "level 9 holds with policy fixed only, and here it is model"),
      ([("growth", "2")], "growth 2.0 holds with policy threshold only, and here it is model"),
      ([("policy", "fixed"), ("codec", "none"), ("level", "9")], "level 9 comes to nothing with codec none"),
      ([("policy", "fixed"), ("level", "9")], nil),
    ] as [([(String, String)], String?)])
  func idleWishes(wishes: [(String, String)], detail: String?) throws {
    let idle = try AdaptationSettings.check(wishes: wishes.map { Setting(name: $0, value: $1) })
    #expect((idle == nil) == (detail == nil))
    if let detail { #expect(idle?.detail.hasPrefix(detail) == true) }
  }

  @Test("a default is brought within the bounds that are given, what is given is not")
  func defaults() throws {
    var settings = AdaptationSettings()
    let bounds = [("policy", "fixed"), ("chunk-max", "32KiB"), ("level-max", "-3")]
    try settings.apply(bounds.map { (name: $0, text: $1) })
    #expect((settings.chunk, settings.level) == (32 << 10, -3))
    let given = [("policy", "fixed"), ("chunk", "64KiB"), ("chunk-max", "32KiB")]
    #expect(throws: TunableError.self) { try settings.apply(given.map { (name: $0, text: $1) }) }
  }

  @Test("what comes to nothing without the policy or codec that takes it")
  func idle() throws {
    let threshold = try Self.settings([("policy", "threshold"), ("chunk", "4KiB"), ("level", "9")])
    #expect(threshold.idle(among: [.growth, .chunkMax]) == nil)
    #expect(
      threshold.idle(among: [.growth, .level])?.detail.hasSuffix("bounds by level-min and level-max") == true)
    #expect(threshold.idle(among: [.chunk])?.tunable == .chunk)
    let fixed = try Self.settings([("policy", "fixed"), ("loss-threshold", "1%")])
    #expect(fixed.idle(among: [.chunk, .level]) == nil)
    #expect(
      fixed.idle(among: [.lossThreshold])?.detail
        == "loss-threshold 1% holds with policy threshold only, and here it is fixed: set policy to threshold"
    )
    let plain = try Self.settings([("policy", "fixed"), ("codec", "none")])
    #expect(plain.idle(among: [.chunk, .levelMax]) == nil)
    #expect(plain.idle(among: [.chunk, .level])?.tunable == .level)
  }

  @Test(
    "an address is one however it is written",
    arguments: [
      ("::", "::"), ("1::", "1::"), ("::1", "::1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
      ("1:0:0:4:0:0:0:8", "1:0:0:4::8"), ("1:0:0:4:5:0:0:8", "1::4:5:0:0:8"),
      ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
      ("2001:DB8::00A1", "2001:db8::a1"), ("::ffff:1.2.3.4", "1.2.3.4"),
      ("0:0:0:0:0:ffff:102:304", "1.2.3.4"),
      ("::1.2.3.4", "::102:304"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"), ("1.2.3.4", "1.2.3.4"),
      (":", nil), (":::", nil), (":1", nil), ("1:", nil), ("1::2::3", nil), ("1:2:3:4:5:6:7", nil),
      ("1:2:3:4:5:6:7:8:9", nil), ("1::2:3:4:5:6:7:8", nil), ("12345::", nil), ("g::", nil), ("::1.2.3", nil),
      ("::1.2.3.4:5", nil), ("1.2.3", nil), ("1.2.3.256", nil), ("1.2.3.04", nil), ("1.2.3.4.5", nil),
      ("", nil),
      ("1.2.3.4 ", nil), ("٣.2.3.4", nil), ("fe80::1%eth0", nil), (String(repeating: "0:", count: 99), nil),
    ] as [(String, String?)])
  func addresses(text: String, expected: String?) {
    #expect(IPAddress(text)?.description == expected)
    if let expected { #expect(IPAddress(expected) == IPAddress(text)) }
  }
}
