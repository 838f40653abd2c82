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
      ("[peer]", 1, "is no [peer HOST]"), ("[peer a b]\n", 1, "is no [peer HOST]"),
      ("[peer h]\n[peer H]", 2, "a second section"), ("policy = fixed\nlevel=\u{1}", 2, "it takes -7 to 19"),
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
    #expect(throws: TunablesFile.Problem.self) { try Self.file(sections.joined() + "[peer h]\nlevel-max=3") }
  }

  @Test("a change leaves comments and everything else where it is")
  func edited() throws {
    var file = try Self.file(
      """
      # ours

      chunk-max = 32KiB   # why
      # of the peer
      [peer h]
      level-max=3
      """)
    let all = try TuningChange(
      peer: nil,
      settings: [Setting(name: "chunk-max", value: "16384"), Setting(name: "backoff", value: "0.5")],
      reset: [])
    let peer = TuningPeer("h")
    file.apply(all)
    file.apply(
      try TuningChange(peer: peer, settings: [Setting(name: "level-min", value: "1")], reset: ["level-max"]))
    file.apply(
      try TuningChange(
        peer: TuningPeer("g:1"), settings: [Setting(name: "rate-max", value: "1MB")], reset: []))
    let expected = """
      # ours

      chunk-max = 16KiB # why
      backoff = 0.5
      # of the peer
      [peer h]
      level-min = 1

      [peer g:1]
      rate-max = 1000000/s

      """
    #expect(String(decoding: file.bytes, as: UTF8.self) == expected)
    let again = try TunablesFile(file.bytes)
    #expect(again.values == file.values.filter { !$0.value.isEmpty })
    #expect(again.line(of: .levelMin, for: peer) == 7)
    #expect(again.line(of: .chunkMax, for: peer) == 3)
  }

  @Test("whatever is set and reset in any order, the text says what the values are", arguments: 1...30)
  func random(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var file = TunablesFile()
    let peers = [nil, TuningPeer("a"), TuningPeer("a:1"), TuningPeer("::1")]
    let values: [Tunable: [String]] = [
      .chunkMax: ["1KiB", "512"], .levelMax: ["3", "-2"], .rateMax: ["none", "1MiB/s"],
      .backoff: ["0.5", "0.62"],
      .lossThreshold: ["0.7%", "0.123456789"],
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
