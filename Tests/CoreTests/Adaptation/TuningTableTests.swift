import StreamDiffCore
import Testing

@Suite("what holds for whom") struct TuningTableTests {
  private static func table(flags: [(String, String)] = []) throws -> TuningTable {
    try TuningTable(flags: flags.map { Setting(name: $0, value: $1) })
  }

  private static func change(
    _ peer: String? = nil, _ settings: [(String, String)] = [], reset: [String] = []
  ) throws -> TuningChange {
    try TuningChange(
      peer: peer.flatMap { TuningPeer($0) }, settings: settings.map { Setting(name: $0, value: $1) },
      reset: reset)
  }

  private static func file(_ text: String) throws -> TuningTable.Overrides {
    try TunablesFile(Array(text.utf8)).values
  }

  @Test("the nearer to a peer, the more it counts; on each level tune comes before the file")
  func precedence() throws {
    let peer = TuningPeer("10.0.0.7:40")
    var table = try Self.table(flags: [("chunk-max", "1KiB")])
    // Each step is above all before it.
    let steps: [(String, (inout TuningTable) throws -> Void)] = [
      ("1KiB", { _ in }),
      ("2KiB", { try $0.replace(file: Self.file("chunk-max=2KiB")) }),
      ("3KiB", { try $0.apply(Self.change(nil, [("chunk-max", "3KiB")])) }),
      (
        "4KiB",
        { try $0.replace(file: Self.file("chunk-max=2KiB\n[peer 10.0.0.7]\nchunk-max=4KiB")) }
      ),
      ("5KiB", { try $0.apply(Self.change("10.0.0.7", [("chunk-max", "5KiB")])) }),
      (
        "6KiB",
        {
          let text = "chunk-max=2KiB\n[peer 10.0.0.7]\nchunk-max=4KiB\n[peer 10.0.0.7:40]\nchunk-max=6KiB"
          try $0.replace(file: Self.file(text))
        }
      ),
      ("7KiB", { try $0.apply(Self.change("10.0.0.7:40", [("chunk-max", "7KiB")])) }),
    ]
    for (expected, step) in steps {
      try step(&table)
      #expect(table.settings(for: peer).text(of: .chunkMax) == expected)
    }
    #expect(table.settings(for: nil).text(of: .chunkMax) == "3KiB")
    #expect(table.settings(for: TuningPeer("10.0.0.7:41")).text(of: .chunkMax) == "5KiB")
    #expect(table.settings(for: TuningPeer("10.0.0.8:40")).text(of: .chunkMax) == "3KiB")
  }

  @Test("a change that contradicts itself or what is set for a peer does nothing at all")
  func contradiction() throws {
    var table = try Self.table()
    try table.apply(Self.change("10.0.0.1", [("chunk-min", "32KiB")]))
    #expect(throws: TunableError.self) {
      try table.apply(Self.change(nil, [("level-max", "3"), ("chunk-max", "16KiB")]))
    }
    #expect(table.settings(for: nil) == AdaptationSettings())
    let error = #expect(throws: TunableError.self) {
      try table.apply(Self.change("10.0.0.1", [("chunk-max", "8KiB")]))
    }
    #expect(error?.detail.contains("chunk-min 32KiB is above chunk-max 8KiB") == true)
    #expect(table.settings(for: TuningPeer("10.0.0.1:1")).chunkMax == 64 << 10)
  }

  @Test("a reset undoes what was tuned: at once the file holds again, else the flag, else the default")
  func reset() throws {
    var table = try Self.table(flags: [("level-max", "9")])
    let file = try Self.file("level-max = 5")
    try table.replace(file: file)
    try table.apply(Self.change(nil, [("level-max", "4")]))
    let reset = try Self.change(nil, [], reset: ["level-max"])
    for _ in 0..<2 {
      try table.apply(reset)
      #expect(table.settings(for: nil).levelMax == 5)
      #expect(table.tuned.isEmpty)
    }
    try table.apply(Self.change(nil, [("level-max", "4")]))
    try table.replace(file: [:], persisted: [reset])
    #expect(table.settings(for: nil).levelMax == 9)
    #expect(table.tuned.isEmpty)
    #expect(try Self.table().settings(for: nil).levelMax == 12)
  }

  @Test("what is persisted is held against what the file says then, not against what it takes from it")
  func persistedReset() throws {
    var table = try Self.table()
    try table.replace(file: Self.file("chunk-max = 4KiB"))
    let change = try Self.change(nil, [("chunk-min", "32KiB")], reset: ["chunk-max"])
    #expect(throws: TunableError.self) { try table.apply(change) }
    try table.replace(file: Self.file("chunk-min = 32KiB"), persisted: [change])
    #expect(table.settings(for: nil).chunkMin == 32 << 10)
    #expect(table.settings(for: nil).chunkMax == 64 << 10)
  }

  @Test("a default is brought within the bounds that hold, and comes back with them")
  func defaults() throws {
    var table = try Self.table(flags: [("policy", "fixed"), ("chunk-max", "32KiB"), ("level-max", "-3")])
    #expect(table.settings(for: nil).chunk == 32 << 10)
    #expect(table.settings(for: nil).level == -3)
    try table.apply(Self.change(nil, [("chunk-max", "128KiB")]))
    #expect(table.settings(for: nil).chunk == 64 << 10)
    #expect(throws: TunableError.self) { try table.apply(Self.change(nil, [("level", "2")])) }
  }

  @Test(
    "a change that contradicts itself is none, whatever holds",
    arguments: [
      ([("chunk-min", "64KiB"), ("chunk-max", "4KiB")], "chunk-min 64KiB is above chunk-max 4KiB"),
      ([("level-max", "3"), ("level-max", "4")], "level-max is to be 3 and to be 4"),
      ([("policy", "fixed"), ("chunk", "4KiB"), ("chunk-max", "2KiB")], "chunk 4KiB is not between"),
      ([("level-min", "15")], nil), ([("chunk", "4KiB"), ("chunk-max", "2KiB")], nil),
      ([("chunk-max", "4KiB"), ("chunk-max", "4096")], nil),
    ] as [([(String, String)], String?)])
  func contradictsItself(settings: [(String, String)], detail: String?) {
    do {
      _ = try Self.change(nil, settings)
      #expect(detail == nil)
    } catch {
      #expect(detail.map("\(error)".hasPrefix) == true, "\(error)")
    }
  }

  @Test(
    "a reset of everything is one for single peers too; of one peer it is for that alone",
    arguments: [false, true])
  func everything(isPersistent: Bool) throws {
    let file = try Self.file("level-max = 5\n[peer 10.0.0.7]\nlevel-max = 6\n[peer 10.0.0.8]\nlevel-max = 7")
    var table = try Self.table()
    try table.replace(file: file)
    try table.apply(Self.change("10.0.0.9", [("growth", "2")]))
    try table.apply(Self.change("10.0.0.7", [("growth", "2")]))
    try table.apply(Self.change("10.0.0.7", [], reset: ["all"]))
    #expect(table.settings(setFor: TuningPeer("10.0.0.7")).map(\.name) == ["level-max"])
    #expect(table.settings(setFor: TuningPeer("10.0.0.9")).map(\.name) == ["growth"])
    let all = try Self.change(nil, [], reset: ["all"])
    try table.apply(all)
    if isPersistent { try table.replace(file: [:], persisted: [all]) }
    #expect(table.peers.map(\.description) == (isPersistent ? [] : ["10.0.0.7", "10.0.0.8"]))
    #expect(table.settings(for: TuningPeer("10.0.0.8")).levelMax == (isPersistent ? 12 : 7))
    #expect(table.tuned.isEmpty)
  }

  @Test("what was tuned for a connection ends with it; what the file says stays")
  func connections() throws {
    let (open, closed) = (TuningPeer("10.0.0.7:40"), TuningPeer("10.0.0.7:41"))
    var table = try Self.table()
    try table.replace(file: Self.file("[peer 10.0.0.7:41]\nlevel-max = 7"))
    for peer in ["10.0.0.7:40", "10.0.0.7:41", "10.0.0.7"] {
      try table.apply(Self.change(peer, [("growth", "2")]))
    }
    table.forgetTuned { $0 == open }
    #expect(table.tuned.keys.contains(open) && !table.tuned.keys.contains(closed))
    #expect(table.settings(for: closed).text(of: .levelMax) == "7")
    #expect(table.settings(setFor: TuningPeer("10.0.0.7")).map(\.name) == ["growth"])
    try table.apply(Self.change("10.0.0.7:41", [("growth", "3"), ("level-max", "6")]))
    table.forgetTuned { _ in false }
    #expect(table.settings(for: closed).text(of: .levelMax) == "7")
    #expect(table.settings(for: closed).text(of: .growth) == "2.0")
  }

  @Test("what an operator has set, as flag, by file or since, no receiver overrules; what was reset it may")
  func given() throws {
    var table = try Self.table(flags: [("codec", "none")])
    try table.apply(Self.change("10.0.0.7", [("policy", "model")]))
    try table.replace(file: Self.file("congestion = cubic"))
    #expect(table.given(for: nil) == [.codec, .congestion])
    #expect(table.given(for: TuningPeer("10.0.0.7:1")) == [.codec, .congestion, .policy])
    try table.apply(Self.change("10.0.0.7", [], reset: ["policy"]))
    #expect(table.given(for: TuningPeer("10.0.0.7:1")) == [.codec, .congestion])
  }

  @Test("what is set in vain is told with whom it is for")
  func idle() throws {
    var table = try Self.table()
    let text = "level = 9\n[peer 10.0.0.7]\npolicy = fixed\nchunk = 1KiB\n[peer 10.0.0.8]\nchunk = 1KiB"
    try table.replace(file: Self.file(text))
    let idle = table.idle.map(\.description)
    #expect(idle.count == 2)
    #expect(idle.first?.hasPrefix("level 9 holds with policy fixed only") == true, "\(idle)")
    #expect(idle.last?.hasPrefix("for 10.0.0.8: chunk 1KiB holds") == true, "\(idle)")
  }

  @Test("persisting one thing leaves another tuned as it is")
  func persisting() throws {
    var table = try Self.table()
    try table.replace(file: Self.file("level-max = 5\nlevel-min = 2"))
    try table.apply(Self.change(nil, [("level-max", "6")]))
    let change = try Self.change(nil, [("level-min", "3")])
    try table.replace(file: Self.file("level-max = 5\nlevel-min = 3"), persisted: [change])
    #expect(table.settings(for: nil).levelMax == 6)
    #expect(table.settings(for: nil).levelMin == 3)
    #expect(table.tuned == [nil: [.levelMax: "6"]])
  }

  @Test("a receiver asks for limits of the flags and all that was set")
  func wishes() throws {
    var table = try Self.table(flags: [("policy", "threshold"), ("rate-max", "1MB")])
    #expect(table.wishes(for: nil) == [Setting(name: "rate-max", value: "1MB")])
    try table.apply(Self.change("10.0.0.1", [("policy", "fixed")]))
    #expect(table.wishes(for: TuningPeer("[::ffff:10.0.0.1]:9")).map(\.name) == ["policy", "rate-max"])
    #expect(table.wishes(for: TuningPeer("10.0.0.2:9")).map(\.name) == ["rate-max"])
  }

  @Test(
    "peers are addresses as status shows them",
    arguments: [
      ("127.0.0.1:5", "127.0.0.1:5"), ("127.0.0.1", "127.0.0.1"), ("[::1]:5", "[::1]:5"), ("::1", "[::1]"),
      ("::ffff:127.0.0.1", "127.0.0.1"), ("[::FFFF:7f00:1]:5", "127.0.0.1:5"),
      ("[127.0.0.1]:5", "127.0.0.1:5"),
      ("2001:DB8:0:0:0:0:0:1", "[2001:db8::1]"), ("2001:db8::1:4500", "[2001:db8::1:4500]"), ("", nil),
      ("web1", nil), ("web1:80", nil), ("[fe80::1%eth0]", nil), ("127.0.0.1:0", nil),
      ("127.0.0.1:65536", nil),
      ("127.0.0.1:+5", nil), ("127.1", nil), (":5", nil), ("127.0.0.1]:5", nil), ("[::1]x", nil), ("[]", nil),
    ])
  func peers(text: String, expected: String?) {
    #expect(TuningPeer(text)?.description == expected)
    if let expected { #expect(TuningPeer(expected) == TuningPeer(text)) }
  }
}
