public import StreamDiffCore
import Synchronization

/// The state frozen at one applied index. Reading it disturbs nobody; holding it keeps superseded records
/// on disk and the engine open, so let go of it when the work is done.
public final class StateView: Sendable {
  public let index: LogIndex
  public let term: Term
  private let reads: any EngineReads
  private let records: [KeyspaceName: KeyspaceRecord]
  private let trees: Mutex<[UInt32: MerkleTree]>

  init(_ reads: any EngineReads, _ state: StateStore.Published) {
    self.reads = reads
    (index, term) = (state.applied, state.term)
    records = state.keyspaces
    trees = Mutex(state.trees)
  }

  /// By name.
  public var keyspaces: [KeyspaceRecord] { records.values.sorted { $0.name < $1.name } }

  public func keyspace(named name: KeyspaceName) -> KeyspaceRecord? { records[name] }

  /// The Merkle tree, clean. Where the store's is not, this reads the digest records of leaves that
  /// changed since its last refresh, once per view.
  public func tree(of keyspace: KeyspaceRecord) throws(StorageError) -> MerkleTree {
    try trees.withLock { (trees) throws(StorageError) in
      guard var tree = trees[keyspace.id] else { return MerkleTree() }
      if !tree.isClean {
        var cursor = cursor(of: keyspace)
        _ = try tree.refresh(reading: &cursor)
        trees[keyspace.id] = tree
      }
      return tree
    }
  }

  public func position(of keyspace: KeyspaceRecord) throws(StorageError) -> KeyspacePosition {
    let tree = try tree(of: keyspace)
    return KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
  }

  /// Reads digest records; use and release it within one piece of work.
  public func cursor(of keyspace: KeyspaceRecord) -> DigestCursor {
    DigestCursor(reads.iterator(), keyspace: keyspace.id, path: reads.path)
  }

  /// Digest records of several ranges, one range after another.
  /// - Parameter limit: records to return at most.
  public func digests(
    in keyspace: KeyspaceRecord, ranges: [(lower: [UInt8], upper: [UInt8]?)], limit: Int = .max
  ) throws(StorageError) -> [DigestRecord] {
    var result: [DigestRecord] = []
    let cursor = cursor(of: keyspace)
    for range in ranges where result.count < limit {
      try cursor.forEach(from: range.lower, to: range.upper) { key, record in
        result.append(DigestRecord(key: Array(key), digest: record.digest, valueBytes: record.valueBytes))
        return result.count < limit
      }
    }
    return result
  }

  /// - Returns: the value, checked against its digest; `nil` when the key is absent.
  public func get(_ key: [UInt8], in keyspace: KeyspaceRecord) throws(StorageError) -> [UInt8]? {
    try EntryReader(reads, keyspace).get(key)
  }

  /// Values of many keys, each checked against its digest.
  /// - Parameter keys: rising. Neighbours in the keyspace cost a step each, others a search.
  /// - Returns: one value for each key; `nil` where it is absent.
  public func values(
    of keys: [[UInt8]], in keyspace: KeyspaceRecord
  ) throws(StorageError) -> [[UInt8]?] {
    var scanner = entryScanner(of: keyspace)
    var values: [[UInt8]?] = []
    values.reserveCapacity(keys.count)
    for key in keys {
      let value: [UInt8]? = try scanner.move(to: key) ? Array(try scanner.value()) : nil
      values.append(value)
    }
    return values
  }

  /// A page of entries in key order, values checked.
  /// - Parameters:
  ///   - prefix: what the keys begin with.
  ///   - last: the last key of the page before; `nil` for the first page.
  ///   - maximumBytes: of keys and values, to stop before; one entry comes in any case.
  public func scan(
    in keyspace: KeyspaceRecord, prefix: [UInt8] = [], after last: [UInt8]? = nil, maximumEntries: Int,
    maximumBytes: Int
  ) throws(StorageError) -> ScanPage {
    var scanner = entryScanner(of: keyspace)
    var page = ScanPage(entries: [], isLast: false)
    var bytes = 0
    // The first key after `last` is `last` with a zero byte behind it.
    try scanner.seek(last.map { $0 + [0] } ?? prefix)
    while let key = scanner.key, key.starts(with: prefix) {
      let (key, size) = (Array(key), key.count + scanner.valueBytes)
      guard page.entries.isEmpty || (page.entries.count < maximumEntries && bytes + size <= maximumBytes)
      else {
        return page
      }
      page.entries.append(.init(key: key, value: Array(try scanner.value())))
      bytes += size
      try scanner.next()
    }
    page.isLast = true
    return page
  }

  private func entryScanner(of keyspace: KeyspaceRecord) -> EntryScanner {
    EntryScanner(reads.iterator(), keyspace: keyspace, path: reads.path)
  }
}

/// Entries that stand side by side.
public struct ScanPage: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]

    public init(key: [UInt8], value: [UInt8]) {
      self.key = key
      self.value = value
    }
  }

  public var entries: [Entry]
  /// Whether nothing follows. False may still be followed by an empty page.
  public var isLast: Bool

  public init(entries: [Entry], isLast: Bool) {
    self.entries = entries
    self.isLast = isLast
  }
}
