import StreamDiffCore
import Testing

@Suite struct FastCDCTests {
  private func noise(_ count: Int, seed: Int) -> [UInt8] {
    var random = SplitMix(seed: seed)
    var output: [UInt8] = []
    output.reserveCapacity(count + 8)
    while output.count < count {
      let word = random.next()
      for shift in 0..<8 { output.append(UInt8(truncatingIfNeeded: word >> (8 * UInt64(shift)))) }
    }
    return Array(output[..<count])
  }

  /// Lengths of all pieces.
  private func pieces(_ bytes: [UInt8], lookAhead: Int = .max) -> [Int] {
    var output: [Int] = []
    var start = 0
    while start < bytes.count {
      let end = lookAhead < bytes.count - start ? start + lookAhead : bytes.count
      let length = FastCDC.cut(bytes.span.extracting(start..<end).bytes)
      output.append(length)
      start += length
    }
    return output
  }

  @Test("golden vector: 128 KiB of SplitMix64 from seed 1, eight little-endian bytes a word")
  func golden() {
    // Computed from the definition by another program, in Python.
    let expected = [
      12615, 10238, 12116, 3313, 7115, 14845, 9032, 9468, 10301, 8384, 10453, 8584, 12537, 2071,
    ]
    #expect(pieces(noise(1 << 17, seed: 1)) == expected)
  }

  @Test("content up to the minimum is one piece, and no piece exceeds the maximum")
  func bounds() {
    for count in [0, 1, FastCDC.minimum - 1, FastCDC.minimum] {
      #expect(FastCDC.cut([UInt8](repeating: 1, count: count).span.bytes) == count)
    }
    #expect(pieces([UInt8](repeating: 0, count: 1 << 20)).allSatisfy { $0 <= FastCDC.maximum })
    let lengths = pieces(noise(8 << 20, seed: 2)).dropLast()
    #expect(lengths.allSatisfy { $0 > FastCDC.minimum && $0 <= FastCDC.maximum })
    let mean = lengths.reduce(0, +) / lengths.count
    #expect((FastCDC.average * 3 / 4)...(FastCDC.average * 3 / 2) ~= mean)
  }

  @Test("a cut needs no more look-ahead than the maximum")
  func lookAhead() {
    let bytes = noise(2 << 20, seed: 3)
    #expect(pieces(bytes, lookAhead: FastCDC.maximum) == pieces(bytes))
  }

  @Test("an insertion moves only the cuts nearby", arguments: 0..<10)
  func insertion(seed: Int) {
    let bytes = noise(4 << 20, seed: seed)
    var random = SplitMix(seed: seed)
    var changed = bytes
    let place = Int.random(in: 0..<bytes.count, using: &random)
    changed.insert(contentsOf: random.bytes(Int.random(in: 1...300, using: &random)), at: place)
    func contents(_ bytes: [UInt8]) -> Set<Digest> {
      var start = 0
      var output: Set<Digest> = []
      for length in pieces(bytes) {
        output.insert(SHA256.digest(Array(bytes[start..<start + length])))
        start += length
      }
      return output
    }
    #expect(contents(changed).subtracting(contents(bytes)).count <= 8)
  }
}
