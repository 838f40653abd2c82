import StreamDiffCore
import Testing

@Suite("the tunables' file") struct TunablesFileTests {
  private static func file(_ text: String) throws -> TunablesFile { try TunablesFile(Array(text.utf8)) }

  @Test(
    "a mistake is named with its line",
    arguments: [
      ("\nchunk-max = 9MiB", 2, "it takes 1 to 1MiB"),
      ("# fine\r\nchunk = 1KiB\nwindow=1s", 3, "no tunable 'window'"),
      ("level 3", 1, "is no NAME = VALUE"), ("level = 3\n\n level=4", 3, "is set in line 1 already"),
      ("[peer]", 1, "is no [peer ADDRESS]"), ("[peer web1]\n", 1, "'web1' is not an IP address"),
      ("[peer 10.0.0.7]\n[peer ::ffff:10.0.0.7]", 2, "a second section"),
      ("loss-threshold = 0.5", 1, "0% to 100%, as 0.5%"), ("rate-max = 100Mb", 1, "100Mbit"),
      ("policy = fixed\nlevel=\u{1}", 2, "it takes -7 to 19"),
    ])
  func mistakes(text: String, line: Int, detail: String) {
    let problem = #expect(throws: TunablesFile.Problem.self) { try Self.file(text) }
    #expect(problem?.line == line)
    #expect(problem?.detail.contains(detail) == true, "\(String(describing: problem))")
  }

  @Test("bytes that are no text are named with their line")
  func noText() {
    let problem = #expect(throws: TunablesFile.Problem.self) { try TunablesFile([0x23, 0x0a, 0xff, 0x0a]) }
    #expect(problem?.line == 2)
  }

  @Test("more peers than may be are refused")
  func peers() throws {
    let sections = (0..<TuningTable.peersLimit).map { "[peer 10.0.0.1:\($0 + 1)]\nlevel-max=3\n" }
    #expect(try Self.file(sections.joined()).values.count == TuningTable.peersLimit)
    #expect(throws: TunablesFile.Problem.self) {
      try Self.file(sections.joined() + "[peer 10.0.0.2]\nlevel-max=3")
    }
  }

  @Test("a change leaves comments and everything else where it is")
  func edited() throws {
    var file = try Self.file(
      """
      # ours

      chunk-max = 32KiB   # why
      # of the peer
      [peer 10.0.0.7]
      level-max=3
      """)
    let all = try TuningChange(
      peer: nil,
      settings: [Setting(name: "chunk-max", value: "16384"), Setting(name: "backoff", value: "0.5")],
      reset: [])
    let peer = TuningPeer("10.0.0.7")
    file.apply(all)
    file.apply(
      try TuningChange(peer: peer, settings: [Setting(name: "level-min", value: "1")], reset: ["level-max"]))
    file.apply(
      try TuningChange(
        peer: TuningPeer("[::1]:1"), settings: [Setting(name: "rate-max", value: "1MB")], reset: []))
    let expected = """
      # ours

      chunk-max = 16KiB # why
      backoff = 0.5
      # of the peer
      [peer 10.0.0.7]
      level-min = 1

      [peer [::1]:1]
      rate-max = 1MB/s

      """
    #expect(String(decoding: file.bytes, as: UTF8.self) == expected)
    let again = try TunablesFile(file.bytes)
    #expect(again.values == file.values.filter { !$0.value.isEmpty })
    #expect(again.line(of: .levelMin, for: peer) == 7)
    #expect(again.line(of: .chunkMax, for: peer) == 3)
  }

  @Test(
    "a contradiction is named with the peer it is for, and the line nearest to it that has a part in it",
    arguments: [
      (
        "chunk-min = 16KiB\n\n[peer 10.0.0.7]\nlevel-max = 3\nchunk-max = 4KiB\n", 5,
        "for 10.0.0.7: chunk-min 16KiB"
      ),
      (
        "level-max = 3\n[peer 10.0.0.7]\nlevel-min=1\n[peer 10.0.0.7:9]\nlevel-min = 6", 5,
        "for 10.0.0.7:9: level-min 6"
      ),
      (
        "[peer ::1]\npolicy = fixed\nchunk-min=512\n[peer 10.0.0.1]\nchunk = 1KiB", 3,
        "for [::1]: chunk 128KiB"
      ),
      ("backoff=0.5\nchunk-max = 256", 2, "chunk-min 512 is above"),
    ])
  func contradictions(text: String, line: Int, detail: String) throws {
    let file = try Self.file(text)
    var table = try TuningTable(flags: [Setting(name: "chunk", value: "128KiB")])
    let error = #expect(throws: TuningTable.Contradiction.self) { try table.replace(file: file.values) }
    #expect(error.flatMap { file.line(of: $0.error.tunable, for: $0.peer) } == line)
    #expect(error?.description.hasPrefix(detail) == true, "\(String(describing: error))")
  }

  @Test("what is contradicted by being gone from the file has no line there")
  func gone() throws {
    var table = try TuningTable(flags: [Setting(name: "chunk-max", value: "16KiB")])
    try table.replace(file: Self.file("chunk-max = 64KiB").values)
    try table.apply(
      TuningChange(peer: nil, settings: [Setting(name: "chunk-min", value: "32KiB")], reset: []))
    let file = try Self.file("backoff = 0.5")
    let error = #expect(throws: TuningTable.Contradiction.self) { try table.replace(file: file.values) }
    #expect(error?.description == "chunk-min 32KiB is above chunk-max 16KiB")
    #expect(file.line(of: error?.error.tunable, for: error?.peer) == nil)
  }

  @Test("everything that is reset is gone for single peers too, and the rest of the text stays")
  func everything() throws {
    var file = try Self.file(
      "# ours\nlevel-max=3\n[peer ::1]\n# its\nchunk=1KiB\nlevel-max=5\n[peer 10.0.0.7]\nbackoff=0.6")
    file.apply(try TuningChange(peer: nil, settings: [], reset: ["all"]))
    #expect(file.values.allSatisfy { $0.value.isEmpty })
    #expect(
      String(decoding: file.bytes, as: UTF8.self) == "# ours\n[peer ::1]\n# its\n")
  }

  @Test(
    "a section goes with its last value, unless there is a comment in it",
    arguments: [
      ("growth=2\n\n[peer ::1]\nlevel-max=5\n", "growth=2\n"),
      (
        "growth=2\n\n[peer ::1]\n\nlevel-max=5\n\n[peer ::2]\nlevel-max=5\n",
        "growth=2\n\n[peer ::2]\nlevel-max=5\n"
      ),
      ("[peer ::1] # web\nlevel-max=5\n", "[peer ::1] # web\n"),
      ("[peer ::1]\nlevel-max=5\n# its\n", "[peer ::1]\n# its\n"),
      ("[peer ::1]\nlevel-max=5\ngrowth=2\n", "[peer ::1]\ngrowth=2\n"),
    ])
  func emptySection(text: String, expected: String) throws {
    var file = try Self.file(text)
    let peer = TuningPeer("::1")
    file.apply(try TuningChange(peer: peer, settings: [], reset: ["level-max"]))
    #expect(String(decoding: file.bytes, as: UTF8.self) == expected)
    let set = try TuningChange(peer: peer, settings: [Setting(name: "level-max", value: "5")], reset: [])
    file.apply(set)
    #expect(try TunablesFile(file.bytes).values == file.values.filter { !$0.value.isEmpty })
    #expect(file.values[peer]?[.levelMax] == "5")
  }

  @Test("a byte order mark at its start is passed over")
  func byteOrderMark() throws {
    #expect(try TunablesFile([0xef, 0xbb, 0xbf] + Array("growth=2".utf8)).values == [nil: [.growth: "2.0"]])
    #expect(throws: TunablesFile.Problem.self) { try Self.file("\n\u{feff}growth=2") }
  }

  @Test("whatever is set and reset in any order, the text says what the values are", arguments: 1...30)
  func random(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var file = TunablesFile()
    let peers = [nil, TuningPeer("10.0.0.1"), TuningPeer("10.0.0.1:1"), TuningPeer("::1")]
    let values: [Tunable: [String]] = [
      .chunkMax: ["1KiB", "512"], .levelMax: ["3", "-2"], .rateMax: ["none", "1MiB/s"],
      .backoff: ["0.5", "0.62"],
      .lossThreshold: ["0.7%", "12.3456789%"],
    ]
    for _ in 0..<60 {
      let tunable = values.keys.sorted { $0.rawValue < $1.rawValue }.randomElement(using: &random)!
      let text = values[tunable]!.randomElement(using: &random)!
      let resets = Bool.random(using: &random)
      file.apply(
        try TuningChange(
          peer: peers.randomElement(using: &random)!,
          settings: resets ? [] : [Setting(name: tunable.rawValue, value: text)],
          reset: resets ? [tunable.rawValue] : []))
      let again = try TunablesFile(file.bytes)
      #expect(again.values == file.values.filter { !$0.value.isEmpty })
      #expect(again.bytes == file.bytes)
    }
  }
}
