import StreamDiffCore
import Testing

/// What a writer who chooses keys can make a change cost: counted, not timed.
@Suite struct MerkleCostTests {
  /// Beside two nodes a level: the leaf that changed, those made of it and of its neighbours, and the path
  /// inside what was read.
  private static let nodesBesides = 4 * MerkleTree.leafCapacity

  private func mostNodes(_ depth: Int) -> Int { 4 * depth + Self.nodesBesides }

  @Test("a key that cuts above 64 Ki keys that do not, toggled in and out, costs a path and a few leaves")
  func strongestToggled() {
    let keys = GroundKeys.weak(65_536, seed: 7)
    var records = SortedRecords(keys.map(\.key))
    var tree = records.built()
    let strong = GroundKeys.strong(20, seed: 8)
    for key in strong.map(\.key) + [[0], [255, 255, 255, 255, 255, 255, 255, 255, 255]] {
      for isPut in [true, false] {
        records.set(key, isPresent: isPut)
        _ = tree.touch(key)
        let depth = tree.depth
        let changes = tree.refresh(reading: &records)
        #expect(changes.recordsRead <= MerkleTree.recordsPerChange, "\(changes.recordsRead) records")
        #expect(changes.nodesHashed <= mostNodes(max(depth, tree.depth)), "\(changes.nodesHashed) nodes")
        #expect(changes.recordsRead == records.recordsRead)
        records.recordsRead = 0
      }
    }
    #expect(tree.root == records.built().root)
  }

  @Test(
    "on a ground path of depth 2 000 a change costs the path, a refresh reads a few leaves, nothing recurses")
  func deepPath() throws {
    let chain = GroundKeys.chain(of: 1 << 20, seed: 3)
    var records = SortedRecords(chain)
    var tree = records.built()
    try #require(tree.depth > 1800, "the ground path is only \(tree.depth) deep")
    let frozen = tree
    let strong = GroundKeys.strong(4, seed: 9).map(\.key)
    // The deepest leaf, keys that cut above everything, and the path's own cuts from its ends and middle.
    let toggled =
      strong + [
        chain[chain.count - 1] + [0], chain[0], chain[1], chain[chain.count / 2], chain[chain.count - 2],
      ]
    for key in toggled {
      let isThere = records.contains(key)
      for isPut in [!isThere, isThere] {
        records.set(key, isPresent: isPut)
        _ = tree.touch(key)
        let depth = tree.depth
        let changes = tree.refresh(reading: &records)
        #expect(changes.recordsRead <= MerkleTree.recordsPerChange, "\(changes.recordsRead) records")
        #expect(changes.nodesHashed <= mostNodes(max(depth, tree.depth)), "\(changes.nodesHashed) nodes")
      }
    }
    #expect(tree.root == frozen.root)
    // What storage gives back has the same path.
    let reopened = MerkleTree(leaves: tree.leaves)
    #expect(reopened.root == tree.root && reopened.depth == tree.depth)
  }

  @Test("all changes of a batch together cost no more than each by itself", arguments: 0..<4)
  func batches(seed: Int) {
    var random = SplitMix(seed: seed)
    let chain = GroundKeys.chain(of: 1 << 14, seed: seed)
    var records = SortedRecords(chain + GroundKeys.weak(4000, seed: 100 + seed).map(\.key))
    var tree = records.built()
    for _ in 0..<20 {
      let touched = (0..<Int.random(in: 1...100, using: &random)).map { _ in
        chain[Int.random(in: chain.indices, using: &random)]
      }
      for key in Set(touched) {
        records.set(key, isPresent: !records.contains(key))
        _ = tree.touch(key)
      }
      let changes = tree.refresh(reading: &records)
      #expect(changes.recordsRead <= Set(touched).count * MerkleTree.recordsPerChange)
      #expect(tree.root == records.built().root)
    }
  }
}

/// Keys that were looked for until their priorities were as wanted.
enum GroundKeys {
  typealias Key = (key: [UInt8], priority: UInt64)

  /// None of them among the strongest sixteenth.
  static func weak(_ count: Int, seed: Int) -> [Key] { ground(count, seed: seed) { $0 >= 1 << 60 } }

  /// All stronger than one in 4 096.
  static func strong(_ count: Int, seed: Int) -> [Key] { ground(count, seed: seed) { $0 < 1 << 52 } }

  /// Rising keys of falling strength, out of `count` random ones: about twice the root of `count`, which
  /// makes a path as deep. (Patience sorting: the longest such chain.)
  static func chain(of count: Int, seed: Int) -> [[UInt8]] {
    let keys = ground(count, seed: seed) { _ in true }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    var ends: [Int] = []
    var previous: [Int] = []
    for (place, key) in keys.enumerated() {
      var (low, high) = (0, ends.count)
      while low < high {
        let middle = (low + high) / 2
        if keys[ends[middle]].priority < key.priority { low = middle + 1 } else { high = middle }
      }
      previous.append(low > 0 ? ends[low - 1] : -1)
      if low == ends.count { ends.append(place) } else { ends[low] = place }
    }
    var chain: [[UInt8]] = []
    var place = ends[ends.count - 1]
    while place >= 0 {
      chain.append(keys[place].key)
      place = previous[place]
    }
    return chain.reversed()
  }

  private static func ground(_ count: Int, seed: Int, _ isWanted: (UInt64) -> Bool) -> [Key] {
    var random = SplitMix(seed: seed)
    var hash = SHA256()
    var found: [Key] = []
    found.reserveCapacity(count)
    while found.count < count {
      let number = random.next()
      let key = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
      hash.update(key)
      let priority = hash.finish().withBytes { UInt64(bigEndian: $0.unsafeLoad(as: UInt64.self)) }
      if isWanted(priority) { found.append((key, priority)) }
    }
    return found
  }
}

/// A keyspace of which only the keys matter, read in place.
struct SortedRecords: DigestReader {
  private var keys: [[UInt8]]
  var recordsRead = 0

  init(_ keys: [[UInt8]]) { self.keys = keys.sorted { $0.lexicographicallyPrecedes($1) } }

  func contains(_ key: [UInt8]) -> Bool {
    let place = place(of: key)
    return place < keys.count && keys[place] == key
  }

  mutating func set(_ key: [UInt8], isPresent: Bool) {
    let place = place(of: key)
    if place < keys.count, keys[place] == key {
      if !isPresent { keys.remove(at: place) }
    } else if isPresent {
      keys.insert(key, at: place)
    }
  }

  mutating func forEachRecord(
    from lower: [UInt8], to upper: [UInt8]?,
    _ body: (_ key: Span<UInt8>, _ digest: Digest, _ valueBytes: Int) -> Void
  ) {
    var hash = SHA256()
    var place = place(of: lower)
    while place < keys.count, upper.map({ keys[place].lexicographicallyPrecedes($0) }) ?? true {
      let key = keys[place]
      hash.update(key)
      body(key.span, hash.finish(), 0)
      recordsRead += 1
      place += 1
    }
  }

  func disagreement(from lower: [UInt8]) -> Never { preconditionFailure("a leaf differs from its records") }

  func built() -> MerkleTree {
    var copy = self
    var builder = MerkleTreeBuilder()
    copy.forEachRecord(from: [], to: nil) { builder.append(key: $0, digest: $1, valueBytes: $2) }
    return builder.finish()
  }

  private func place(of key: [UInt8]) -> Int {
    var (low, high) = (0, keys.count)
    while low < high {
      let middle = (low + high) / 2
      if keys[middle].lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
