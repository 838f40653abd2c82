import StreamDiffCore
import Testing

@Suite struct MerklePropertyTests {
  /// A key as users have them: some share long prefixes, some are prefixes of others.
  private func key(_ random: inout SplitMix, space: Int) -> [UInt8] {
    let number = Int.random(in: 0..<space, using: &random)
    switch number % 3 {
    case 0: return Array("k\(number)".utf8)
    case 1: return Array("a/long/common/prefix/of/many/paths/\(number).txt".utf8)
    default: return [UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number), 0]
    }
  }

  @Test(
    "refresh, rebuild and definition agree after any changes, and storage can follow",
    arguments: 0..<40)
  func agreement(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var keyspace = ReferenceKeyspace()
    var tree = MerkleTree()
    var stored = ReferenceLeaves()
    let space = [40, 70, 300, 2000, 6000][seed % 5]
    for round in 0..<25 {
      let isShrinking = round % 6 == 5
      for _ in 0..<Int.random(in: 1...[3, 40, 900][(seed + round) % 3], using: &random) {
        // Boundary keys of a leaf are what matters most; a batch names some keys twice.
        let leaves = tree.leaves
        let isBoundary = Int.random(in: 0..<4, using: &random) == 0
        let chosen = isBoundary ? leaves[Int.random(in: leaves.indices, using: &random)].lower : []
        let key = chosen.isEmpty ? key(&random, space: space) : chosen
        for _ in 0...Int.random(in: 0...1, using: &random) {
          if Int.random(in: 0..<10, using: &random) < (isShrinking ? 9 : 3) {
            keyspace.delete(key)
          } else {
            keyspace.put(key, random.bytes(Int.random(in: 0...20, using: &random)))
          }
          if let lower = tree.touch(key.span) { stored.mark(lower, in: tree) }
        }
      }
      if stored.records.isEmpty { continue }
      if round % 4 == 3 {
        // A restart with dirty leaves.
        #expect(stored.sorted == tree.leaves, "seed \(seed), round \(round)")
        tree = stored.reloaded()
      }
      let changes = try tree.refresh(reading: &keyspace)
      let isConsistent = stored.apply(changes)
      try #require(isConsistent, "seed \(seed), round \(round)")
      let defined = keyspace.root()
      try #require(tree.isClean && tree.root == defined, "seed \(seed), round \(round)")
      let rebuilt = keyspace.rebuilt()
      #expect(tree.leaves == rebuilt.leaves)
      #expect(stored.sorted == tree.leaves)
      #expect(tree.count == keyspace.count && tree.bytes == keyspace.bytes)
      #expect(stored.reloaded().root == tree.root)
    }
  }

  @Test("the order of changes does not matter", arguments: 0..<10)
  func order(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var keys = (0..<1000).map { Array("key \($0)".utf8) }
    var roots: Set<Digest> = []
    for _ in 0..<3 {
      keys.shuffle(using: &random)
      var keyspace = ReferenceKeyspace()
      var tree = MerkleTree()
      for (number, key) in keys.enumerated() {
        keyspace.put(key, key)
        _ = tree.touch(key.span)
        if number % 97 == 0 { _ = try tree.refresh(reading: &keyspace) }
      }
      _ = try tree.refresh(reading: &keyspace)
      roots.insert(tree.root)
    }
    #expect(roots.count == 1)
  }

  @Test("one key at a time: growth over 64 entries and the way back", arguments: 0..<6)
  func growthAndShrink(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var keyspace = ReferenceKeyspace()
    var tree = MerkleTree()
    var stored = ReferenceLeaves()
    var keys = (0..<150).map { _ in random.bytes(4) }
    for key in keys {
      keyspace.put(key, [1])
      if let lower = tree.touch(key.span) { stored.mark(lower, in: tree) }
      let isConsistent = stored.apply(try tree.refresh(reading: &keyspace))
      #expect(isConsistent)
      let defined = keyspace.root()
      #expect(tree.root == defined)
    }
    keys.shuffle(using: &random)
    for key in keys {
      keyspace.delete(key)
      if let lower = tree.touch(key.span) { stored.mark(lower, in: tree) }
      let isConsistent = stored.apply(try tree.refresh(reading: &keyspace))
      #expect(isConsistent)
      let defined = keyspace.root()
      #expect(tree.root == defined)
      #expect(stored.sorted == tree.leaves)
    }
    #expect(tree.root == MerkleTree().root && tree.leafCount == 1)
  }

  @Test("a copy is a frozen view", arguments: 0..<8)
  func frozenCopies(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var keyspace = ReferenceKeyspace()
    for number in 0..<2000 { keyspace.put(Array("\(number)".utf8), [0]) }
    var tree = keyspace.rebuilt()
    var views: [(tree: MerkleTree, leaves: [MerkleTree.LeafRecord])] = []
    for step in 0..<60 {
      let key = Array("\(Int.random(in: 0..<3000, using: &random))".utf8)
      keyspace.put(key, random.bytes(3))
      _ = tree.touch(key.span)
      if step % 7 == 0 { views.append((tree, tree.leaves)) }
      if step % 10 == 0 { _ = try tree.refresh(reading: &keyspace) }
    }
    for view in views { #expect(view.tree.leaves == view.leaves) }
    // A view that was dirty can be refreshed by itself; here against the newest content.
    for step in keyspace.values.keys { for place in views.indices { _ = views[place].tree.touch(step.span) } }
    _ = try tree.refresh(reading: &keyspace)
    for place in views.indices {
      _ = try views[place].tree.refresh(reading: &keyspace)
      #expect(views[place].tree.root == tree.root)
    }
  }

  @Test("a refresh whose reading fails leaves the tree dirty and whole, wherever it fails")
  func failedRead() throws {
    var keyspace = ReferenceKeyspace()
    for number in 0..<1500 { keyspace.put(Array("\(number)".utf8), [0]) }
    var tree = keyspace.rebuilt()
    for number in stride(from: 0, to: 1500, by: 90) {
      keyspace.delete(Array("\(number)".utf8))
      _ = tree.touch(Array("\(number)".utf8).span)
    }
    for reads in 0..<200 {
      let before = tree.leaves
      keyspace.readsLeft = reads
      do {
        _ = try tree.refresh(reading: &keyspace)
      } catch {
        #expect(!tree.isClean && tree.leaves == before)
        continue
      }
      #expect(reads > 3)
      let defined = keyspace.root()
      #expect(tree.root == defined)
      return
    }
    Issue.record("the refresh never got through")
  }
}
