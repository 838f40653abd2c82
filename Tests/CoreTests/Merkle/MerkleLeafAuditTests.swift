import StreamDiffCore
import Testing

@Suite struct MerkleLeafAuditTests {
  @Test("the leaves of any tree hold what their records say; a changed, missing or added record shows")
  func leaves() {
    var hash = SHA256()
    let records = (0..<500).map { number in
      let key = Array("key \(1000 + number)".utf8)
      return (key, EntryDigest.of(key: key, value: [UInt8(number & 255)], using: &hash), 1 + number % 7)
    }
    var builder = MerkleTreeBuilder()
    for (key, digest, bytes) in records { builder.append(key: key, digest: digest, valueBytes: bytes) }
    let tree = builder.finish()
    var leaves: [MerkleTree.LeafRecord] = []
    tree.forEachLeaf { leaves.append($0) }
    #expect(leaves.count > 5)
    var audit = MerkleLeafAudit()
    var rest = records[...]
    for leaf in leaves {
      let own = rest.prefix(leaf.count)
      rest = rest.dropFirst(leaf.count)
      func difference(_ records: [([UInt8], Digest, Int)]) -> String? {
        audit.begin()
        for (key, digest, bytes) in records { audit.add(key: key.span, digest: digest, valueBytes: bytes) }
        return audit.difference(from: leaf)
      }
      #expect(difference(Array(own)) == nil)
      #expect(difference(Array(own.dropLast()))?.contains("entries") == true)
      var other = Array(own)
      other[0].1 = EntryDigest.of(key: [1], value: [2], using: &hash)
      #expect(difference(other)?.contains("digest") == true)
      other = Array(own)
      other[0].2 += 1
      #expect(difference(other)?.contains("bytes") == true)
    }
    #expect(rest.isEmpty)
  }
}
