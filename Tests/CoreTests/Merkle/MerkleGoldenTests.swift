import Foundation
import StreamDiffCore
import Testing

/// `golden.txt` says what its lines mean.
@Suite struct MerkleGoldenTests {
  private static func lines(_ kind: String) throws -> [[String]] {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "golden.txt")
    let lines = try String(contentsOf: path, encoding: .utf8).split(separator: "\n")
      .filter { $0.hasPrefix(kind + " ") }.map { $0.split(separator: " ").dropFirst().map(String.init) }
    try #require(!lines.isEmpty)
    return lines
  }

  private func bytes(_ hex: String) throws -> [UInt8] {
    guard hex != "-" else { return [] }
    let digits = Array(hex)
    return try stride(from: 0, to: digits.count, by: 2).map {
      try #require(UInt8(String(digits[$0...($0 + 1)]), radix: 16))
    }
  }

  @Test("the roots of whole keyspaces")
  func roots() throws {
    for line in try Self.lines("series") {
      var keyspace = ReferenceKeyspace()
      let count = try #require(Int(line[0]))
      for number in 0..<count { keyspace.put(Array("key-\(number)".utf8), Array("value-\(number)".utf8)) }
      var grown = MerkleTree()
      for key in keyspace.values.keys { _ = grown.touch(key) }
      _ = try grown.refresh(reading: &keyspace)
      for tree in [keyspace.rebuilt(), grown] {
        #expect(tree.root.description == line[3], "\(count) entries")
        #expect("\(tree.leafCount)" == line[1] && "\(tree.bytes)" == line[2] && tree.count == count)
      }
    }
  }

  @Test("entry digests")
  func entries() throws {
    var hash = SHA256()
    for line in try Self.lines("entry") {
      let digest = EntryDigest.of(key: try bytes(line[0]), value: try bytes(line[1]), using: &hash)
      #expect(digest.description == line[2])
    }
  }

  @Test("priorities, as the best of a leaf whose first key is another")
  func priorities() throws {
    for line in try Self.lines("priority") {
      var builder = MerkleTreeBuilder()
      let digest = SHA256.digest([])
      builder.append(key: [0], digest: digest, valueBytes: 0)
      builder.append(key: try bytes(line[0]), digest: digest, valueBytes: 0)
      let tree = builder.finish()
      #expect("\(tree.leaf(covering: ([0xff] as [UInt8]).span).best)" == line[1])
    }
  }

  @Test("fingerprints")
  func fingerprints() throws {
    var hash = SHA256()
    for line in try Self.lines("fingerprint") {
      let salt = try #require(UInt64(line[1]))
      if line[0] == "entry" {
        let digest = try #require(Digest(hex: line[2]))
        #expect("\(Fingerprint.entry(digest: digest, salt: salt, using: &hash))" == line[3])
      } else {
        let upper = line[3] == "*" ? nil : try bytes(line[3])
        let print = Fingerprint.part(
          lower: try bytes(line[2]), upper: upper, digest: try #require(Digest(hex: line[4])), salt: salt,
          using: &hash)
        #expect("\(print)" == line[5])
      }
    }
  }
}
