import StreamDiffCore

/// A plain keyspace's entries in one sorted spill file, with its tree and a sparse index. Holds no values.
struct SortedEntries: SyncContent {
  /// Bytes of the file under one index entry, about.
  private static let blockBytes: UInt64 = 64 << 10

  private let run: Run
  /// The first key of each block, and where the block begins.
  private let blocks: [(key: [UInt8], offset: UInt64)]
  let tree: MerkleTree
  var index: LogIndex { .zero }

  /// Merges runs, later places over earlier ones; deleted keys are dropped.
  init(merging runs: [Run]) throws(AdapterError) {
    var writer = SpillWriter(try SpillFile())
    var blocks: [(key: [UInt8], offset: UInt64)] = []
    var builder = MerkleTreeBuilder()
    try RunMerge.forEach(try RunMerge.narrowed(runs)) { entry throws(AdapterError) in
      guard let value = entry.value else { return }
      if writer.offset >= (blocks.last?.offset ?? 0) + Self.blockBytes || blocks.isEmpty {
        blocks.append((Array(entry.key), writer.offset))
      }
      builder.append(
        key: entry.key.bindMemory(to: UInt8.self).span, digest: entry.digest, valueBytes: value.count)
      // As part of a later merge it is older than everything new.
      let settled = RunEntry(key: entry.key, value: value, place: 0, digest: entry.digest)
      try writer.append { settled.append(to: &$0) }
    }
    try writer.flush()
    run = Run(spill: writer.spill, byteCount: writer.offset)
    self.blocks = blocks
    tree = builder.finish()
  }

  /// As a run for the next merge.
  var asRun: Run { run }

  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    var room = limit
    var block = self.block(of: lower)
    while block < blocks.count, room > 0 {
      if let upper, !precedes(blocks[block].key, upper) { return }
      try forEachEntry(inBlock: block) { entry throws(AdapterError) in
        let isIn =
          lower.withUnsafeBytes { compare(entry.key, $0) >= 0 }
          && (upper?.withUnsafeBytes { compare(entry.key, $0) < 0 } ?? true)
        guard isIn, room > 0 else { return }
        records.append(
          DigestRecord(key: Array(entry.key), digest: entry.digest, valueBytes: entry.value?.count ?? 0))
        room -= 1
      }
      block += 1
    }
  }

  /// Visits the values of keys that are in order.
  ///
  /// - Throws: what `visit` throws; `.changed` for a key that is not there.
  func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws {
    var next = 0
    while next < keys.count {
      let first = next
      try forEachEntry(inBlock: block(of: keys[first])) { entry in
        guard next < keys.count, keys[next].withUnsafeBytes({ compare(entry.key, $0) == 0 }),
          let value = entry.value
        else { return }
        try visit(next, value.bytes)
        next += 1
      }
      guard next > first else {
        let key = printable(keys[first])
        throw AdapterError(.changed, path: run.spill.path, "the key \(key) is not in the sort file")
      }
    }
  }

  /// Visits every entry in key order.
  func visitAll(_ visit: (RunEntry) throws(AdapterError) -> Void) throws(AdapterError) {
    try RunMerge.forEach([run], visit)
  }

  /// The last block whose first key is not greater, or the first.
  private func block(of key: [UInt8]) -> Int {
    max(0, blocks.partitioningIndex { precedes(key, $0.key) } - 1)
  }

  private func forEachEntry<Failure: Error>(
    inBlock block: Int, _ visit: (RunEntry) throws(Failure) -> Void
  ) throws {
    guard block < blocks.count else { return }
    let end = block + 1 < blocks.count ? blocks[block + 1].offset : run.byteCount
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Int(end - blocks[block].offset), alignment: 16)
    defer { buffer.deallocate() }
    let count = try run.spill.file.read(into: buffer, at: blocks[block].offset, path: run.spill.path)
    var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
    while !rest.isEmpty {
      guard let entry = RunEntry(reading: rest) else {
        throw AdapterError(.changed, path: run.spill.path, "a sort file was cut short")
      }
      try visit(entry)
      rest = UnsafeRawBufferPointer(rebasing: rest[entry.byteCount...])
    }
  }
}
