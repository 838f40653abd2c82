import StreamDiffCore
import Testing

@Suite struct CodecBudgetTests {
  private static let budget = CodecBudget.node
  private static let least = FrameParameters.leastBytes

  private static func size(_ level: Int32) -> Int { FrameParameters(level: level).contextBytes }

  @Test("what a level takes never falls with it, and the least takes the least")
  func sizes() {
    let sizes = FrameParameters.levels.filter { $0 != 0 }.map(Self.size)
    #expect(sizes == sizes.sorted())
    #expect(FrameParameters(level: 0) == FrameParameters(level: 3))
    #expect(FrameParameters.levels.allSatisfy { FrameParameters.least(level: $0).contextBytes == Self.least })
    #expect(Self.least < Self.size(-7))
    #expect(Self.budget.contexts * Self.size(1) <= Self.budget.bytes, "level 1 for everybody")
  }

  /// - Parameter room: beside what others have and those to come may have.
  @Test(
    "a compressor gets its level, or the highest below that has room, or the least",
    arguments: [
      (19, size(19), 19), (19, size(19) - 1, 17), (19, size(12), 12), (12, size(12) - 1, 8), (9, size(3), 3),
      (6, size(2), 2), (6, size(1), 1), (1, size(1), 1), (-5, size(-5), -5), (40, size(19), 19),
      (19, size(1) - 1, nil), (1, least, nil), (-5, size(-5) - 1, nil), (12, 0, nil), (12, -1 << 30, nil),
    ] as [(Int32, Int, Int32?)], [0, 7, 63, 80])
  func grants(wanted: (level: Int32, room: Int, granted: Int32?), lent: Int) {
    let toCome = max(0, Self.budget.contexts - 1 - lent)
    let others = CodecBudget.Use(
      bytes: Self.budget.bytes - toCome * Self.least - wanted.room, contexts: lent)
    let expected =
      wanted.granted.map { FrameParameters(level: $0) } ?? FrameParameters.least(level: wanted.level)
    #expect(Self.budget.grant(wanted.level, beside: others) == expected)
  }

  @Test(
    "as many as have room kept stay within the budget, whatever each wants and in what order",
    arguments: 0..<20)
  func together(seed: Int) {
    var random = SplitMix(seed: seed)
    var lent: [Int] = []
    for _ in 0..<2000 {
      if lent.count == Self.budget.contexts || !lent.isEmpty && Int.random(in: 0..<3, using: &random) == 0 {
        lent.remove(at: .random(in: lent.indices, using: &random))
      }
      let use = CodecBudget.Use(bytes: lent.reduce(0, +), contexts: lent.count)
      let level = seed == 0 ? 19 : Int32.random(in: -7...19, using: &random)
      lent.append(Self.budget.grant(level, beside: use).contextBytes)
      #expect(lent.reduce(0, +) <= Self.budget.bytes, "seed \(seed)")
    }
  }

  @Test("a frame ends for more after a while, for less when all have too much, and for nothing else")
  func due() {
    let budget = CodecBudget(bytes: 4 << 20, contexts: 1)
    let (three, twelve) = (FrameParameters(level: 3), FrameParameters(level: 12))
    let crowd = CodecBudget.Use(bytes: (4 << 20) - Self.size(3), contexts: 1)
    func isDue(_ has: FrameParameters, _ plainBytes: Int, _ others: CodecBudget.Use) -> Bool {
      budget.isDue(has, wanted: 12, plainBytes: plainBytes, beside: others)
    }
    #expect(!isDue(twelve, .max, CodecBudget.Use()))
    #expect(!isDue(three, CodecBudget.patience - 1, CodecBudget.Use()))
    #expect(isDue(three, CodecBudget.patience, CodecBudget.Use()))
    #expect(!isDue(three, .max, crowd))
    #expect(isDue(twelve, 0, crowd))
    // Another would get less, but what there is fits.
    #expect(!isDue(twelve, 0, CodecBudget.Use(bytes: (4 << 20) - twelve.contextBytes, contexts: 1)))
  }
}
