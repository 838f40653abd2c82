import StreamDiffCore

/// A keyspace in memory and the definition of its root, written as it reads: slow and plain.
struct ReferenceKeyspace: DigestReader {
  struct Failure: Error {}

  private(set) var values: [[UInt8]: [UInt8]] = [:]
  private var sorted: [DigestRecord]?
  /// Reads until one fails; `nil`: none fails.
  var readsLeft: Int?
  private(set) var recordsRead = 0

  mutating func put(_ key: [UInt8], _ value: [UInt8]) { (values[key], sorted) = (value, nil) }
  mutating func delete(_ key: [UInt8]) { (values[key], sorted) = (nil, nil) }

  func disagreement(from lower: [UInt8]) -> Failure { Failure() }

  var count: Int { values.count }
  var bytes: Int { values.reduce(0) { $0 + $1.key.count + $1.value.count } }

  mutating func records() -> [DigestRecord] {
    if let sorted { return sorted }
    var hash = SHA256()
    let fresh = values.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { key, value in
      DigestRecord(
        key: key, digest: EntryDigest.of(key: key, value: value, using: &hash), valueBytes: value.count)
    }
    sorted = fresh
    return fresh
  }

  mutating func forEachRecord(
    from lower: [UInt8], to upper: [UInt8]?,
    _ body: (_ key: Span<UInt8>, _ digest: Digest, _ valueBytes: Int) -> Void
  ) throws(Failure) {
    if let left = readsLeft {
      guard left > 0 else { throw Failure() }
      readsLeft = left - 1
    }
    for record in records() where !record.key.lexicographicallyPrecedes(lower) {
      if let upper, !record.key.lexicographicallyPrecedes(upper) { return }
      recordsRead += 1
      body(record.key.span, record.digest, record.valueBytes)
    }
  }

  /// The definition in `MerkleTree`, word by word.
  mutating func root() -> Digest { Self.root(records()[...]) }

  /// Built from nothing by the library.
  mutating func rebuilt() -> MerkleTree {
    var builder = MerkleTreeBuilder()
    for record in records() {
      builder.append(key: record.key, digest: record.digest, valueBytes: record.valueBytes)
    }
    return builder.finish()
  }

  private static func root(_ entries: ArraySlice<DigestRecord>) -> Digest {
    guard entries.count > 64 else { return SHA256.digest([0] + entries.flatMap(\.digest.bytes)) }
    func priority(_ place: Int) -> [UInt8] { Array(SHA256.digest(entries[place].key).bytes[..<8]) }
    var strongest = entries.startIndex + 1
    for place in entries.indices.dropFirst(2)
    where priority(place).lexicographicallyPrecedes(priority(strongest)) {
      strongest = place
    }
    return SHA256.digest([1] + root(entries[..<strongest]).bytes + root(entries[strongest...]).bytes)
  }
}

/// A leaf list as storage keeps it, brought along by what the tree reports.
struct ReferenceLeaves {
  private(set) var records: [[UInt8]: MerkleTree.LeafRecord] = [:]

  mutating func mark(_ lower: [UInt8], in tree: MerkleTree) {
    records[lower] = tree.leaf(covering: lower.span)
  }

  /// - Returns: whether every bound was where the changes say.
  mutating func apply(_ changes: MerkleTree.LeafChanges) -> Bool {
    var isConsistent = true
    for lower in changes.removed { isConsistent = records.removeValue(forKey: lower) != nil && isConsistent }
    for record in changes.written { records[record.lower] = record }
    return isConsistent && Set(changes.removed).isDisjoint(with: changes.written.map(\.lower))
  }

  var sorted: [MerkleTree.LeafRecord] {
    records.values.sorted { $0.lower.lexicographicallyPrecedes($1.lower) }
  }

  /// What storage would give back after a restart.
  func reloaded() -> MerkleTree {
    MerkleTree(
      leaves: sorted.compactMap { MerkleTree.LeafRecord(lower: $0.lower, encoded: $0.encode().span) })
  }
}

extension MerkleTree.LeafChanges {
  var removed: [[UInt8]] {
    var output: [[UInt8]] = []
    forEach { if case .removed(let lower) = $0 { output.append(lower) } }
    return output
  }

  var written: [MerkleTree.LeafRecord] {
    var output: [MerkleTree.LeafRecord] = []
    forEach { if case .written(let leaf) = $0 { output.append(leaf) } }
    return output
  }

  var isEmpty: Bool { removed.isEmpty && written.isEmpty }
}

extension MerkleTree {
  var leaves: [LeafRecord] {
    var output: [LeafRecord] = []
    forEachLeaf { output.append($0) }
    return output
  }
}

/// SplitMix64: the same numbers from the same seed, everywhere.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  init(seed: Int) { state = UInt64(seed) }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
