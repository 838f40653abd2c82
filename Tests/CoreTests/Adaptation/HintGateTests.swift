import StreamDiffCore
import Testing

@Suite("hints") struct HintGateTests {
  private static func hint(_ most: UInt32) -> AdaptationHint {
    var hint = AdaptationHint()
    hint.chunkMaximum = most
    return hint
  }

  @Test("the first is followed at once, of a flood the last one at the next look")
  func flood() {
    var gate = HintGate()
    #expect(gate.receive(Self.hint(1)) == Self.hint(1))
    for most in UInt32(2)...1000 { #expect(gate.receive(Self.hint(most)) == nil) }
    #expect(gate.hint == Self.hint(1))
    #expect(gate.look() == Self.hint(1000))
    #expect(gate.hint == Self.hint(1000))
    // One of this look: what comes now waits for the next.
    #expect(gate.receive(Self.hint(5)) == nil)
    #expect(gate.look() == Self.hint(5))
    #expect(gate.look() == nil)
    #expect(gate.receive(Self.hint(6)) == Self.hint(6))
  }

  @Test("what says nothing new is not followed anew")
  func same() {
    var gate = HintGate()
    #expect(gate.receive(AdaptationHint()) == nil)
    #expect(gate.receive(Self.hint(1)) == Self.hint(1))
    // There and back before a look: nothing changed.
    #expect(gate.receive(Self.hint(2)) == nil)
    #expect(gate.receive(Self.hint(1)) == nil)
    #expect(gate.look() == nil)
    #expect(gate.hint == Self.hint(1))
  }
}
