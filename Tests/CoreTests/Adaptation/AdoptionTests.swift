import StreamDiffCore
import Testing

@Suite("what a sender does of its receiver's wishes") struct AdoptionTests {
  private static func own(_ values: [(String, String)]) throws -> AdaptationSettings {
    var settings = AdaptationSettings()
    for (name, value) in values { try settings.set(name, to: value) }
    return settings
  }

  @Test(
    "what the ranges of both leave of it, and in words what they do not",
    arguments: [
      ([], [("level-max", "3")], ["level-max": "3"], []),
      // Of two ranges what both allow, of two limits the smaller: that is no refusal.
      ([("level-max", "12")], [("level-max", "19")], ["level-max": "12"], []),
      ([("rate-max", "1MB")], [("rate-max", "9MB")], ["rate-max": "1MB/s"], []),
      (
        [("level-max", "12")], [("policy", "fixed"), ("level", "19"), ("level-max", "19")],
        ["policy": "fixed", "level": "12"], ["level 12 in place of 19"]
      ),
      (
        [("chunk-max", "4KiB")], [("policy", "fixed"), ("chunk", "32KiB")],
        ["policy": "fixed", "chunk": "4KiB"], ["chunk 4KiB in place of 32KiB"]
      ),
      (
        [("level-min", "3"), ("level-max", "9")],
        [("level-min", "-7"), ("level-max", "1"), ("chunk-max", "1KiB")],
        ["level-min": "3", "level-max": "9", "chunk-max": "1KiB"],
        ["level-min, level-max: this sender's are 3 to 9"]
      ),
      (
        [], [("codec", "none"), ("speed", "high"), ("level", "0")], ["codec": "none"],
        ["2 of what is asked for cannot be set"]
      ),
      // Nothing is compressed: no level is missed.
      (
        [("level-max", "12")],
        [("policy", "fixed"), ("codec", "none"), ("level", "19"), ("level-max", "19")], ["codec": "none"], []
      ),
    ] as [([(String, String)], [(String, String)], [String: String], [String])])
  func adoption(
    own: [(String, String)], wishes: [(String, String)], expected: [String: String], unmet: [String]
  ) throws {
    let adoption = try Self.own(own).adopting(wishes.map { Setting(name: $0, value: $1) })
    for (name, value) in expected {
      #expect(adoption.settings.text(of: try Tunable(named: name)) == value)
    }
    #expect(adoption.unmet == unmet)
    try adoption.settings.check()
  }

  @Test(
    "what its operator has said a sender keeps, limits aside, and tells of; the rest is its receiver's to wish for",
    arguments: [
      // The processor is the server's.
      ([("codec", "none")], [("codec", "zstd")], ["codec": "none"], ["codec none in place of zstd"]),
      ([("codec", "auto")], [("codec", "none")], ["codec": "auto"], ["codec auto in place of none"]),
      // The same is no refusal, and what was left alone is free.
      (
        [("codec", "none"), ("policy", "threshold")],
        [("codec", "none"), ("congestion", "cubic"), ("growth", "2")],
        ["codec": "none", "policy": "threshold", "congestion": "cubic", "growth": "2.0"], []
      ),
      (
        [("policy", "model"), ("congestion", "bbr")],
        [("policy", "fixed"), ("level", "9"), ("chunk", "4KiB"), ("congestion", "cubic")],
        ["policy": "model", "congestion": "bbr"],
        ["policy model in place of fixed", "congestion bbr in place of cubic"]
      ),
      // A limit always wins, over what is fixed as well.
      (
        [("policy", "fixed"), ("chunk", "32KiB"), ("level", "9")],
        [("chunk-max", "4KiB"), ("level-max", "3"), ("level", "1")],
        ["chunk": "4KiB", "level": "3"], ["level 3 in place of 1"]
      ),
      (
        [("chunk-max", "32KiB"), ("rate-max", "1MB")], [("chunk-max", "16KiB"), ("rate-max", "12kB")],
        ["chunk-max": "16KiB", "rate-max": "12kB/s"], []
      ),
    ] as [([(String, String)], [(String, String)], [String: String], [String])])
  func given(
    own: [(String, String)], wishes: [(String, String)], expected: [String: String], unmet: [String]
  ) throws {
    let given = try Set(own.map { try Tunable(named: $0.0) })
    let adoption = try Self.own(own).adopting(wishes.map { Setting(name: $0, value: $1) }, given: given)
    for (name, value) in expected {
      #expect(adoption.settings.text(of: try Tunable(named: name)) == value)
    }
    #expect(adoption.unmet == unmet)
    try adoption.settings.check()
  }

  @Test(
    "of a congestion control that the system refuses nobody is told that it is in use",
    arguments: [
      ("cubic", "bbr", "congestion bbr: this sender keeps its own setting, cubic, which its system refuses"),
      ("cubic", "cubic", "congestion cubic, which its system refuses"),
      ("auto", "cubic", "congestion cubic, which its system refuses"),
      ("bbr", "cubic", "congestion bbr in place of cubic"), ("auto", "bbr", nil),
    ] as [(String, String, String?)])
  func refused(own: String, wish: String, unmet: String?) throws {
    let given: Set<Tunable> = own == "auto" ? [] : [.congestion]
    let wishes = [Setting(name: "congestion", value: wish)]
    let adoption = try Self.own([("congestion", own)]).adopting(wishes, given: given, refused: .cubic)
    #expect(adoption.unmet == [unmet].compactMap(\.self))
  }

  @Test("whatever is wished for, what comes of it can be set", arguments: 0..<200)
  func anything(seed: Int) throws {
    var random = SplitMix(seed: seed)
    func wishes() -> [Setting] {
      (0..<Int.random(in: 0...8, using: &random)).map { _ in
        let tunable = Tunable.allCases.randomElement(using: &random) ?? .chunk
        let value =
          ["1", "64KiB", "512", "19", "-7", "12", "fixed", "model", "none", "zstd", "0", "", "1MiB", "x"]
          .randomElement(using: &random) ?? ""
        return Setting(name: tunable.rawValue, value: value)
      }
    }
    var own = AdaptationSettings()
    for wish in wishes() {
      var changed = own
      if (try? changed.set(wish.name, to: wish.value)) != nil, (try? changed.check()) != nil { own = changed }
    }
    let given = Set(Tunable.allCases.filter { _ in Bool.random(using: &random) })
    let adoption = own.adopting(wishes(), given: given)
    for tunable in [Tunable.policy, .codec, .congestion, .growth] where given.contains(tunable) {
      #expect(adoption.settings.text(of: tunable) == own.text(of: tunable))
    }
    try adoption.settings.check()
    #expect(adoption.settings.chunkMin >= own.chunkMin && adoption.settings.chunkMax <= own.chunkMax)
    #expect(adoption.settings.levelMin >= own.levelMin && adoption.settings.levelMax <= own.levelMax)
    #expect(adoption.unmet.joined().utf8.count < 300)
  }
}
