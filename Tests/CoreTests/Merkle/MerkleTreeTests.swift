import StreamDiffCore
import Testing

@Suite struct MerkleTreeTests {
  private func keyspace(_ count: Int) -> ReferenceKeyspace {
    var keyspace = ReferenceKeyspace()
    for number in 0..<count { keyspace.put(Array("key-\(number)".utf8), [UInt8(truncatingIfNeeded: number)]) }
    return keyspace
  }

  @Test("a leaf becomes dirty once: the second touch says nothing")
  func touchOnce() throws {
    var keyspace = keyspace(1000)
    var tree = keyspace.rebuilt()
    var bounds: Set<[UInt8]> = []
    for key in keyspace.values.keys {
      if let lower = tree.touch(key) { #expect(bounds.insert(lower).inserted) }
      #expect(tree.leaf(covering: key.span).isDirty)
    }
    #expect(bounds == Set(tree.leaves.map(\.lower)) && bounds.contains([]))
    #expect(tree.dirtyLeafCount == tree.leafCount && !tree.isClean)
    let changes = try tree.refresh(reading: &keyspace)
    #expect(changes.removed.isEmpty && changes.written == tree.leaves, "the marks end")
    let none = try tree.refresh(reading: &keyspace)
    #expect(none.isEmpty)
  }

  @Test("a refresh reads the leaves that changed, and no others")
  func readsFewRecords() throws {
    var keyspace = keyspace(20_000)
    var tree = keyspace.rebuilt()
    for number in stride(from: 0, to: 20_000, by: 1000) {
      keyspace.put(Array("key-\(number)".utf8), [1, 2, 3])
      _ = tree.touch(Array("key-\(number)".utf8))
    }
    let dirty = tree.leaves.filter(\.isDirty)
    let changes = try tree.refresh(reading: &keyspace)
    #expect(keyspace.recordsRead == dirty.reduce(0) { $0 + $1.count })
    #expect(changes.removed.isEmpty && changes.written.map(\.lower) == dirty.map(\.lower))
  }

  @Test("a change and its undoing leave the leaves as they were, but clean")
  func undone() throws {
    var keyspace = keyspace(5000)
    var tree = keyspace.rebuilt()
    let before = tree.leaves
    for number in 0..<40 {
      let key = Array("key-\(number)-new".utf8)
      for isPut in [true, false] {
        if isPut { keyspace.put(key, []) } else { keyspace.delete(key) }
        _ = tree.touch(key)
        _ = try tree.refresh(reading: &keyspace)
        #expect((tree.leaves == before) != isPut)
      }
    }
  }

  @Test(
    "parts at any level follow one another, count what they hold and hash to their parent",
    arguments: [0, 1, 64, 65, 3000])
  func parts(count: Int) {
    var keyspace = keyspace(count)
    let tree = keyspace.rebuilt()
    let root = tree.rootPart
    #expect(root.lower.isEmpty && root.upper == nil && root.count == count && root.digest == tree.root)
    for levels in [0, 1, 2, 6, 100_000] {
      let parts = root.expanded(levels: levels)
      #expect(parts.count <= 1 << min(levels, 20) && parts.reduce(0) { $0 + $1.count } == count)
      #expect(parts.first?.lower == [] && parts.last?.upper == nil)
      for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.upper == next.lower) }
      for part in parts {
        #expect(part.isLeaf == (part.count <= MerkleTree.leafCapacity))
        let children = part.expanded(levels: 1)
        if part.isLeaf {
          #expect(children.count == 1 && children[0].digest == part.digest)
        } else {
          #expect(children.count == 2)
          #expect(SHA256.digest([1] + children.flatMap(\.digest.bytes)) == part.digest)
        }
      }
    }
    let leaves = root.expanded(levels: .max)
    #expect(leaves.map(\.lower) == tree.leaves.map(\.lower))
  }

  @Test("equal parts have equal fingerprints; another range, digest or salt gives another")
  func fingerprints() {
    var keyspace = keyspace(3000)
    let parts = keyspace.rebuilt().rootPart.expanded(levels: 20)
    var hash = SHA256()
    let first = parts.map { $0.fingerprint(salt: 1, using: &hash) }
    #expect(first == parts.map { $0.fingerprint(salt: 1, using: &hash) })
    let second = parts.map { $0.fingerprint(salt: 2, using: &hash) }
    #expect(Set(first + second).count == 2 * parts.count)
  }

  @Test("bytes that are no leaf record are refused")
  func badRecords() {
    var keyspace = keyspace(100)
    var tree = keyspace.rebuilt()
    _ = tree.touch([0])
    for record in tree.leaves {
      let bytes = record.encode()
      #expect(bytes.count == 50)
      #expect(MerkleTree.LeafRecord(lower: record.lower, encoded: bytes.span) == record)
      var bad = [bytes.dropLast(), bytes + [0], []].map { Array($0) }
      for (place, value) in [(0, UInt8(2)), (1, 65), (9, 0x80)] {
        var changed = bytes
        changed[place] = value
        bad.append(changed)
      }
      for bytes in bad { #expect(MerkleTree.LeafRecord(lower: [], encoded: bytes.span) == nil) }
    }
  }

  /// Keys whose priorities only get weaker make the deepest tree that so many keys can make.
  @Test("a path that someone ground keys for is slow, and right")
  func groundPath() throws {
    let depth = 700
    var hash = SHA256()
    var keys: [[UInt8]] = []
    for level in 0..<depth {
      for nonce in 0... {
        let suffix = (0..<4).map { UInt8(truncatingIfNeeded: nonce >> (8 * $0)) }
        let key = [UInt8(level >> 8), UInt8(level & 255)] + suffix
        hash.update(key)
        let priority = hash.finish().bytes[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let slot = UInt64.max / UInt64(depth)
        if priority / slot == level {
          keys.append(key)
          break
        }
      }
    }
    var keyspace = ReferenceKeyspace()
    for key in keys { keyspace.put(key, [0]) }
    var tree = keyspace.rebuilt()
    var expected = keyspace.root()
    #expect(tree.root == expected)
    #expect(tree.rootPart.expanded(levels: depth - 65).count == depth - 64, "a list, not a tree")
    // A leaf at the far end, one in the middle, and a key in front that becomes the first.
    for key in [keys[depth - 1], keys[depth / 2], [0]] {
      if key.count == 1 { keyspace.put(key, [1]) } else { keyspace.delete(key) }
      _ = tree.touch(key)
      let copy = tree
      _ = try tree.refresh(reading: &keyspace)
      expected = keyspace.root()
      #expect(tree.root == expected && !copy.isClean)
    }
  }
}
