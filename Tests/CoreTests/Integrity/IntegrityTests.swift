import StreamDiffCore
import Testing

@Suite struct CRC32CTests {
  @Test(
    "RFC 3720 §B.4: known checksums",
    arguments: [
      ([UInt8]("123456789".utf8), UInt32(0xe306_9283)),
      ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
      ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
      ([UInt8](0..<32), 0x46dd_794e),
      ([UInt8]((0..<32).reversed()), 0x113f_db5c),
      ([], 0),
    ] as [([UInt8], UInt32)])
  func known(bytes: [UInt8], expected: UInt32) {
    #expect(CRC32C(bytes).rawValue == expected)
  }

  @Test("a checksum extended piece by piece is the checksum of the whole")
  func extended() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 >> 3) }
    for cut in stride(from: 0, through: bytes.count, by: 37) {
      let head = CRC32C(Array(bytes[..<cut]))
      #expect(head.extended(over: Array(bytes[cut...])) == CRC32C(bytes))
    }
  }

  @Test("a checksum extended by that of other bytes is the checksum of both, however many")
  func extendedByChecksum() {
    let bytes = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 * 11 + $0 >> 5) }
    for cut in [0, 1, 34, 4_463, 69_999, 70_000] {
      let (head, tail) = (Array(bytes[..<cut]), Array(bytes[cut...]))
      #expect(CRC32C(head).extended(by: CRC32C(tail), of: tail.count) == CRC32C(bytes))
    }
    // Where 2³¹ bits are passed the powers begin again.
    for count in [1 << 26, 1 << 27, 1 << 28, 1 << 33] {
      let half = CRC32C(bytes).extended(by: .empty, of: count)
      #expect(half.extended(by: .empty, of: count) == CRC32C(bytes).extended(by: .empty, of: 2 * count))
    }
  }

  @Test("a masked checksum differs from the plain one and can be unmasked")
  func masked() {
    for value in [UInt32(0), 1, 0xe306_9283, .max] {
      let crc = CRC32C(rawValue: value)
      #expect(crc.masked != value)
      #expect(CRC32C(masked: crc.masked) == crc)
    }
    #expect(CRC32C(rawValue: 0).masked == 0xa282_ead8)
    #expect(CRC32C(rawValue: 0x8000).masked == 0xa282_ead9)
  }
}

@Suite struct DigestTests {
  @Test(
    "FIPS 180-4: known digests",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ])
  func known(text: String, hex: String) {
    let bytes = Array(text.utf8)
    #expect(SHA256.digest(bytes).description == hex)
    var hash = SHA256()
    for byte in bytes { hash.update([byte]) }
    #expect(hash.finish().description == hex, "byte by byte")
    hash.update(bytes)
    #expect(hash.finish().description == hex, "a hash starts again after finish")
  }

  @Test("bytes, hex and copies of a digest are the same digest")
  func forms() throws {
    let digest = SHA256.digest([1, 2, 3])
    #expect(Digest(bytes: digest.bytes) == digest)
    #expect(Digest(hex: digest.description) == digest)
    #expect(Digest(hex: digest.description.uppercased()) == digest)
    #expect(digest.withBytes { Digest(copying: $0) } == digest)
    var output: [UInt8] = [9]
    digest.append(to: &output)
    #expect(output == [9] + digest.bytes)
  }

  @Test("text or bytes of another shape are no digest")
  func refused() {
    #expect(Digest(bytes: []) == nil)
    #expect(Digest(bytes: [UInt8](repeating: 0, count: 33)) == nil)
    let hex = SHA256.digest([]).description
    #expect(Digest(hex: hex.dropLast()) == nil)
    #expect(Digest(hex: hex + "0") == nil)
    #expect(Digest(hex: "g" + hex.dropFirst()) == nil)
  }

  @Test("digests are ordered as their bytes are")
  func order() throws {
    let digests = (0..<200).map { SHA256.digest([UInt8($0)]) }
    let sorted = digests.sorted()
    for (lower, upper) in zip(sorted, sorted.dropFirst()) {
      #expect(lower.bytes.lexicographicallyPrecedes(upper.bytes))
    }
    for place in 0..<Digest.byteCount {
      var bytes = digests[0].bytes
      bytes[place] ^= 0x80
      let other = try #require(Digest(bytes: bytes))
      #expect((other < digests[0]) == bytes.lexicographicallyPrecedes(digests[0].bytes))
      #expect(other != digests[0])
    }
  }
}

@Suite struct EntryDigestTests {
  /// The definition, word by word.
  private func defined(_ key: [UInt8], _ value: [UInt8]) -> Digest {
    func length(_ bytes: [UInt8]) -> [UInt8] {
      (0..<4).map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) }
    }
    return SHA256.digest([2] + length(key) + key + length(value) + SHA256.digest(value).bytes)
  }

  @Test(
    "an entry's digest is what its definition says, for short and long entries",
    arguments: [(1, 0), (1, 1), (8, 100), (3, 499), (3, 500), (3, 501), (8192, 0), (200, 70_000)])
  func definition(keyBytes: Int, valueBytes: Int) {
    let key = (0..<keyBytes).map { UInt8(truncatingIfNeeded: $0) }
    let value = (0..<valueBytes).map { UInt8(truncatingIfNeeded: $0 * 3) }
    var hash = SHA256()
    #expect(EntryDigest.of(key: key, value: value, using: &hash) == defined(key, value))
    let known = SHA256.digest(value)
    let reused = EntryDigest.of(
      key: key.span.bytes, valueDigest: known, valueBytes: value.count, using: &hash)
    #expect(reused == defined(key, value), "from the value's digest")
  }

  @Test("where a key ends is part of the digest")
  func lengths() {
    var hash = SHA256()
    let digest = EntryDigest.of(key: [1, 2], value: [3], using: &hash)
    #expect(digest.description == "420dc5cd82e4436735bc786605eece50a6236ff88560165c16503a2b5a3e4fd0")
    #expect(digest != EntryDigest.of(key: [1], value: [2, 3], using: &hash))
  }
}
