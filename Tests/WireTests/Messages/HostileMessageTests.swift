import NIOCore
import StreamDiffCore
import StreamDiffWire
import Testing

@Suite("Hostile messages are errors")
struct HostileMessageTests {
  /// Decodes as every kind of message; what comes out does not matter, that something does is the test.
  private func decodeAsEverything(_ bytes: ByteBuffer) {
    for sample in Samples.all {
      func decode<M: WireMessage>(as: M) {
        do throws(WireError) {
          // What was understood can be said again.
          let message = try M(decoding: bytes)
          #expect(message.encode().readableBytes >= 0)
        } catch {
          #expect([.malformed, .tooLarge, .unsupported].contains(error.code), "\(error)")
        }
      }
      decode(as: sample)
    }
  }

  @Test("a message cut anywhere is refused or is a shorter message", arguments: 0..<Samples.all.count)
  func truncated(at place: Int) throws {
    func check<M: WireMessage>(_ message: M) {
      let whole = message.encode()
      let cuts = Set((0...min(64, whole.readableBytes)).map { $0 } + [whole.readableBytes / 2])
      for cut in cuts {
        let bytes = whole.getSlice(at: whole.readerIndex, length: cut)!
        if let shorter = try? M(decoding: bytes) {
          #expect(shorter != message || cut == whole.readableBytes)
        }
      }
      guard whole.readableBytes > 1 else { return }
      // The last byte always belongs to a field that then lacks it.
      #expect(throws: WireError.self) {
        try M(decoding: whole.getSlice(at: whole.readerIndex, length: whole.readableBytes - 1)!)
      }
    }
    check(Samples.all[place])
  }

  @Test("random bytes never do harm")
  func random() {
    var random = SplitMix(state: 1)
    for _ in 0..<3_000 {
      let count = Int.random(in: 0..<200, using: &random)
      decodeAsEverything(
        ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }))
    }
  }

  @Test("a message with damaged bytes never does harm")
  func damaged() {
    var random = SplitMix(state: 2)
    let small = Samples.all.map { Array($0.encode().readableBytesView) }.filter { 1..<4_000 ~= $0.count }
    for _ in 0..<3_000 {
      var bytes = small.randomElement(using: &random)!
      for _ in 0...Int.random(in: 0..<4, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      decodeAsEverything(ByteBuffer(bytes: bytes))
    }
  }

  @Test("memory out of proportion to a message's size is refused")
  func amplification() {
    // A million empty keyspaces, two bytes each, would need over a hundred megabytes.
    let empties = ByteBuffer(bytes: Array(repeating: [0x42, 0] as [UInt8], count: 1_000_000).joined())
    let error = #expect(throws: WireError.self) { try StatusResponse(decoding: empties) }
    #expect(error?.code == .tooLarge)
    // As would a million fields of no known number.
    let unknown = ByteBuffer(bytes: Array(repeating: [0x7a, 0] as [UInt8], count: 1_000_000).joined())
    #expect(throws: WireError.self) { try GetRequest(decoding: unknown) }
  }

  @Test("an honest message of the smallest parts is taken")
  func smallParts() throws {
    let page = ScanResponse(
      entries: (0..<40_000).map { .init(key: [UInt8($0 >> 8), UInt8($0 & 255)]) }, index: LogIndex(1),
      kind: .plain)
    #expect(try ScanResponse(decoding: page.encode()) == page)
    let keys = SyncMessage.frontier(
      Frontier(
        request: 1,
        keys: (0..<40_000).map { KeyDigest(key: [UInt8($0 >> 8), UInt8($0 & 255)], digest: Samples.digest) }))
    #expect(try SyncMessage(decoding: keys.encode()) == keys)
    let expand = SyncMessage.expand(
      Expand(
        request: 1, source: 1, mode: .tree, runs: (0..<40_000).map { 2 * $0..<2 * $0 + 1 },
        release: Array(repeating: 1, count: 40_000)))
    #expect(try SyncMessage(decoding: expand.encode()) == expand)
  }

  @Test(
    "what no field may hold is named",
    arguments: [
      ([0x0a, 2, 0xc3, 0x28], "keyspace is not UTF-8"),
      ([0x0a, 1, 0xff], "keyspace is not UTF-8"),
      ([0x12, 1, 1, 0x3a, 3, 1, 2, 3], "expected has 3 bytes; a digest has 32"),
      ([0x12, 1, 1, 0x42, 2, 1, 2], "session has 2 bytes; it must have 16"),
      ([0x12], "1 bytes are no PutRequest"),
    ] as [([UInt8], String)])
  func badPut(bytes: [UInt8], detail: String) {
    #expect(throws: WireError(.malformed, detail)) { try PutRequest(decoding: Samples.buffer(bytes)) }
  }

  @Test(
    "a session's message that is two things, nothing, or beyond its types is named",
    arguments: [
      ([], .malformed, "neither a chunk nor a control message of this version"),
      ([0x10, 1], .malformed, "neither a chunk nor a control message of this version"),
      ([0x0a, 1, 1], .malformed, "a chunk comes without its header"),
      ([0x0a, 5, 1], .malformed, "diff_patch is cut short"),
      ([0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 1], .malformed, "diff_patch is cut short"),
      ([0x0a, 1, 1, 0x4a, 0], .malformed, "a message carries both a chunk and a control message"),
      ([0x2a, 0, 0x4a, 0], .malformed, "a message carries both a chunk and a control message"),
      ([0x2a, 2, 0x18, 9], .unsupported, "codec 9"),
      ([0x32, 0], .malformed, "hello names no role that is known: 0"),
      ([0x32, 5, 8, 1, 0x1a, 1, 0x2f], .malformed, "keyspace \"/\": 1 to 128 of A-Z a-z 0-9 . _ -"),
      ([0x32, 4, 8, 1, 0x32, 0], nil, ""),
      ([0x32, 5, 8, 1, 0x32, 1, 1], .malformed, "root has 1 bytes; a digest has 32"),
      ([0x3a, 2, 0x18, 7], .unsupported, "expand mode 7"),
      ([0x3a, 3, 0x22, 1, 1], .malformed, "expand: 1 starts of runs, 0 lengths"),
      (
        [0x3a, 10, 0x22, 5, 0xff, 0xff, 0xff, 0xff, 0xf, 0x2a, 1, 1], .malformed,
        "expand run 0 ends beyond 32 bits"
      ),
      ([0x42, 3, 0x12, 1, 1], .malformed, "1 bytes of fingerprints; each has 8"),
      ([0x42, 2, 0x2a, 0], .malformed, "key 0 of a frontier has no digest"),
      ([0x52, 0], .malformed, "a seal result has no root"),
    ] as [([UInt8], WireError.Code?, String)])
  func badSync(bytes: [UInt8], code: WireError.Code?, detail: String) throws {
    guard let code else {
      #expect(throws: Never.self) { try SyncMessage(decoding: Samples.buffer(bytes)) }
      return
    }
    #expect(throws: WireError(code, detail)) { try SyncMessage(decoding: Samples.buffer(bytes)) }
  }
}

/// A small generator whose runs can be repeated (Steele, Lea, Flood: SplitMix64).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}
