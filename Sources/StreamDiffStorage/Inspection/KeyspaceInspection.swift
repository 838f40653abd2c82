import StreamDiffCore

/// Reads all of one keyspace: every value against its whole digest record, entries and digest records one
/// to one, stored Merkle leaves against digest records, and the leaves' bounds against the tree that the
/// records define.
struct KeyspaceInspection: ~Copyable {
  private let reads: any EngineReads
  private let record: KeyspaceRecord
  private let findings: Findings
  private let meter: InspectionMeter
  private let entries: AreaReader
  private let digests: AreaReader

  private var hash = SHA256()
  private var builder = MerkleTreeBuilder()
  /// Whether every digest record could be read, so that the tree built of them means something.
  private var hasAllDigests = true

  private var leaves: [MerkleTree.LeafRecord] = []
  private var hasAllLeaves = true
  private var audit = MerkleLeafAudit()
  /// The leaf under audit.
  private var leaf = 0
  /// Some records of the leaf under audit could not be read.
  private var isLeafUnknown = false
  /// Records right before the next one could not be read.
  private var isBehindGap = false
  private var areLeavesRight = true

  /// Reads in a row that failed before the rest of a keyspace is given up: each costs a block read.
  private static let failuresInARow = 100_000

  init(_ reads: any EngineReads, _ record: KeyspaceRecord, findings: Findings, meter: InspectionMeter) {
    (self.reads, self.record, self.findings, self.meter) = (reads, record, findings, meter)
    entries = AreaReader(reads, .entries, record.id, findings: findings)
    digests = AreaReader(reads, .digests, record.id, findings: findings)
    readLeaves()
    meter.expect(UInt64(leaves.reduce(0) { $0 + $1.bytes }))
  }

  /// - Returns: what the digest records add up to; `nil` when some could not be read.
  consuming func run() -> KeyspacePosition? {
    compare()
    while hasAllLeaves, leaf < leaves.count { closeLeaf() }
    guard hasAllDigests else { return nil }
    let tree = builder.finish()
    if hasAllLeaves, areLeavesRight {
      Self.check(leaves, against: tree, of: record, in: reads, findings: findings)
    }
    return KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
  }

  // MARK: Entries and digest records

  private mutating func compare() {
    entries.seek([])
    digests.seek([])
    var guide = 0
    var failures = 0
    while true {
      if digests.place == .failed { missDigests() }
      switch (digests.place, entries.place) {
      case (.record, .record):
        failures = 0
        let order = KeyComparison.compare(digests.key, entries.key)
        if order == 0 { checkEntry() }
        if order < 0 { damage(digests.key, "its value is missing") }
        if order > 0 { damage(entries.key, "its digest record is missing") }
        if order >= 0 { nextEntry() }
        if order <= 0 { nextDigest() }
      case (.record, .end):
        damage(digests.key, "its value is missing")
        nextDigest()
      case (.end, .record):
        damage(entries.key, "its digest record is missing")
        nextEntry()
      case (.record, .failed):
        entries.seek(Array(digests.key))
        if entries.place == .failed { nextDigest() }
        failures += 1
      case (.failed, .record):
        digests.seek(Array(entries.key))
        if digests.place == .failed { nextEntry() }
        failures += 1
      case (.failed, .failed):
        // Neither side knows a key: leaf bounds are keys too.
        guide += 1
        guard guide < leaves.count else { return }
        let lower = leaves[guide].lower
        entries.seek(lower)
        digests.seek(lower)
      case (.end, .end), (.end, .failed), (.failed, .end): return
      }
      guard failures < Self.failuresInARow else {
        missDigests()
        findings.add(
          Finding(
            .damage, path: reads.path, keyspace: record.name.description,
            "\(failures) reads in a row failed: the rest of this keyspace was not looked at"))
        return
      }
    }
  }

  /// Both readers stand on one key.
  private mutating func checkEntry() {
    let stored = entries.value
    guard let record = StoredDigest(digests.value) else { return }  // reported when it is taken
    guard stored.count >= StoredEntry.checkBytes else {
      return damage(entries.key, "its record has \(stored.count) bytes and lacks what checks it")
    }
    let value = UnsafeRawBufferPointer(rebasing: stored[StoredEntry.checkBytes...])
    let digest = EntryDigest.of(key: entries.key.bytes, value: value.bytes, using: &hash)
    let isRight = StoredEntry.withCheck(of: digest) { KeyComparison.compare($0, stored.prefixed) == 0 }
    if digest != record.digest || value.count != record.valueBytes {
      damage(
        entries.key,
        isRight
          ? "its digest record is not that of its value"
          : "its value of \(value.count) bytes is not what its digest says")
    } else if !isRight {
      damage(entries.key, "the eight bytes that check its value are not its digest's")
    }
  }

  private mutating func nextEntry() {
    meter.advance(entries.key.count + max(0, entries.value.count - StoredEntry.checkBytes))
    entries.next()
  }

  private mutating func nextDigest() {
    let key = digests.key
    if let stored = StoredDigest(digests.value) {
      if hasAllLeaves { moveLeaf(to: key) }
      key.withSpan { span in
        audit.add(key: span, digest: stored.digest, valueBytes: stored.valueBytes)
        if hasAllDigests { builder.append(key: span, digest: stored.digest, valueBytes: stored.valueBytes) }
      }
    } else {
      damage(key, "its digest record has \(digests.value.count) bytes instead of \(StoredDigest.byteCount)")
      missDigests()
    }
    digests.next()
  }

  private mutating func missDigests() {
    hasAllDigests = false
    (isBehindGap, isLeafUnknown) = (true, true)
  }

  private func damage(_ key: UnsafeRawBufferPointer, _ detail: String) {
    damage(Array(key), detail)
  }

  private func damage(_ key: [UInt8], _ detail: String) {
    findings.add(
      Finding(.damage, path: reads.path, keyspace: record.name.description, key: key, detail))
  }

  // MARK: Leaves

  private mutating func readLeaves() {
    let reader = AreaReader(reads, .leaves, record.id, findings: findings)
    reader.seek([])
    while reader.place == .record {
      let lower = Array(reader.key)
      let leaf = reader.value.withSpan { MerkleTree.LeafRecord(lower: lower, encoded: $0) }
      if let leaf, !leaves.isEmpty || lower.isEmpty {
        leaves.append(leaf)
      } else {
        damage(lower, leaf == nil ? "no Merkle leaf is encoded so" : "the first Merkle leaf begins here")
        hasAllLeaves = false
      }
      reader.next()
    }
    if reader.place == .failed { hasAllLeaves = false }
  }

  /// Closes the leaves that end before `key`.
  private mutating func moveLeaf(to key: UnsafeRawBufferPointer) {
    while leaf + 1 < leaves.count,
      leaves[leaf + 1].lower.withBytes({ KeyComparison.compare($0, key) }) <= 0
    {
      closeLeaf()
      isLeafUnknown = isBehindGap
    }
    isBehindGap = false
  }

  private mutating func closeLeaf() {
    let closed = leaves[leaf]
    if isLeafUnknown || closed.isDirty {
      // Its records were not all read, or it says itself that it is behind them.
    } else if let difference = audit.difference(from: closed) {
      damage(closed.lower, "the Merkle leaf from here on: \(difference)")
      areLeavesRight = false
    }
    audit.begin()
    isLeafUnknown = isBehindGap
    leaf += 1
  }

  /// All clean leaves hold what their records say: what is left is where they are cut, and the root.
  private static func check(
    _ leaves: [MerkleTree.LeafRecord], against tree: borrowing MerkleTree, of record: KeyspaceRecord,
    in reads: any EngineReads, findings: Findings
  ) {
    func damage(_ key: [UInt8]?, _ detail: String) {
      findings.add(
        Finding(.damage, path: reads.path, keyspace: record.name.description, key: key, detail))
    }
    if leaves.contains(where: \.isDirty) {
      var stored = MerkleTree(leaves: leaves)
      var cursor = DigestCursor(reads.iterator(), keyspace: record.id, path: reads.path)
      do throws(StorageError) {
        _ = try stored.refresh(reading: &cursor)
        if stored.root != tree.root {
          damage(nil, "the stored Merkle tree gives root \(stored.root), its records give \(tree.root)")
        }
      } catch {
        findings.addOnce(error.located)
      }
      return
    }
    guard !leaves.isEmpty else {
      // No audit of a leaf can tell.
      if tree.count > 0 { damage(nil, "it has \(tree.count) entries and no Merkle leaf") }
      return
    }
    var rest = leaves[...]
    tree.forEachLeaf { leaf in
      guard let first = rest.first, first.lower == leaf.lower else {
        if !rest.isEmpty { damage(leaf.lower, "a Merkle leaf should begin here and does not") }
        rest = []
        return
      }
      rest.removeFirst()
    }
    if let extra = rest.first { damage(extra.lower, "a Merkle leaf begins here and should not") }
  }
}

extension UnsafeRawBufferPointer {
  fileprivate var prefixed: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: self[..<StoredEntry.checkBytes])
  }
}
