public import StreamDiffCore

/// What the log beside a state says of it. A state that does not go with its log is refused before anything
/// is changed: with the right files put back all is there again.
public struct StateDemand: Sendable {
  /// Where the log begins. From entry 1 on it has everything, and a state may be made anew.
  public var logBegins: LogIndex
  /// - Throws: when a state with so much applied does not go with the log.
  public var admit: @Sendable (_ applied: LogIndex) throws(StorageError) -> Void

  public init(
    logBegins: LogIndex, admit: @escaping @Sendable (_ applied: LogIndex) throws(StorageError) -> Void
  ) {
    (self.logBegins, self.admit) = (logBegins, admit)
  }

  /// Of a state alone.
  public static let none = Self(logBegins: LogIndex(1)) { _ in }
}

extension StateStore {
  /// Opens the state in `directory`, creating it when none is there and the log needs none. Its parent must
  /// exist.
  public static func open(
    _ directory: String, options: Options = Options(), for demand: StateDemand = .none
  ) throws(StorageError) -> StateStore {
    let configuration = Database.Configuration(
      writeBufferBytes: options.writeBufferBytes, cacheBytes: options.cacheBytes,
      compresses: options.compresses)
    let files = EngineFiles(directory: directory, fileSystem: PosixFileSystem(), findings: Findings())
    let isNew = try files.isUnborn()
    if isNew {
      guard demand.logBegins <= LogIndex(1) else {
        throw StorageError(
          .damaged, path: directory + "/CURRENT",
          "this file is missing, and the log begins at \(demand.logBegins.rawValue): put the state back")
      }
    } else {
      _ = try files.manifest()
      try look(at: directory, for: demand)
    }
    return try open(on: try Database(opening: directory, configuration, isNew ? .creating : .existing))
  }

  /// Opened to be written, RocksDB removes every file that its MANIFEST does not name: before that all has to
  /// be read that may refuse the state.
  private static func look(at directory: String, for demand: StateDemand) throws(StorageError) {
    let database = try Database(
      opening: directory, Database.Configuration(writeBufferBytes: 1 << 20, cacheBytes: 4 << 20), .readOnly)
    _ = try readFormat(of: database)
    try demand.admit(try readApplied(database.latest).0)
  }

  /// The state in an engine that nobody else uses.
  public static func open(on engine: any StateEngine) throws(StorageError) -> StateStore {
    try checkFormat(of: engine)
    let reads = engine.latest
    let (applied, term) = try readApplied(reads)
    let keyspaces = try readKeyspaces(reads)
    var trees: [UInt32: MerkleTree] = [:]
    for record in keyspaces.values {
      guard trees[record.id] == nil else {
        throw StorageError(.damaged, path: engine.path, "two keyspaces have the number \(record.id)")
      }
      trees[record.id] = try readTree(of: record, reads)
    }
    return StateStore(
      engine,
      Published(
        engine: engine, applied: applied, term: term, keyspaces: keyspaces, trees: trees,
        sessions: try reads.sessionTable()))
  }

  private static func checkFormat(of engine: any StateEngine) throws(StorageError) {
    guard try readFormat(of: engine) != StoreKey.currentFormat else { return }
    let batch = engine.makeBatch()
    batch.put(StoreKey.format, StoredInteger.bytes(StoreKey.currentFormat))
    try engine.write(batch, .stateFormat)
  }

  /// - Returns: one that this release knows; `nil` where nothing was written yet.
  private static func readFormat(of engine: any StateEngine) throws(StorageError) -> UInt32? {
    let format: UInt32? = try StoreKey.format.withBytes { (key) throws(StorageError) in
      try engine.latest.get(key) { StoredInteger.read($0, at: 0) ?? 0 }
    }
    switch format {
    case nil, 1, StoreKey.currentFormat: return format
    case let format? where format > StoreKey.currentFormat:
      throw newerFormat(format, engine.path)
    default: throw StorageError(.damaged, path: engine.path, "the record of the state's format")
    }
  }

  static func newerFormat(_ format: UInt32, _ path: String) -> StorageError {
    StorageError(
      .newerFormat, path: path,
      "state format \(format) is newer than \(StoreKey.currentFormat), which this release knows: use the one "
        + "that wrote it")
  }

  private static func readApplied(_ reads: any EngineReads) throws(StorageError) -> (LogIndex, Term) {
    let applied = try StoreKey.applied.withBytes { (key) throws(StorageError) in
      try reads.get(key) { (value) throws(StorageError) in
        guard case .applied(let index, let term) = SystemRecord(key: StoreKey.applied, value) else {
          throw StorageError(.damaged, path: reads.path, "the record of the applied index")
        }
        return (index, term)
      }
    }
    return applied ?? (.zero, .zero)
  }

  private static func readKeyspaces(
    _ reads: any EngineReads
  ) throws(StorageError) -> [KeyspaceName: KeyspaceRecord] {
    var keyspaces: [KeyspaceName: KeyspaceRecord] = [:]
    let iterator = reads.iterator()
    StoreKey.keyspaces.withBytes { iterator.seek($0) }
    while iterator.isValid, iterator.key.starts(with: StoreKey.keyspaces) {
      let key = Array(iterator.key)
      guard case .keyspace(let record) = SystemRecord(key: key, iterator.value) else {
        let name = String(decoding: key.dropFirst(StoreKey.keyspaces.count), as: UTF8.self)
        throw StorageError(.damaged, path: reads.path, "the record of keyspace \(name)")
      }
      keyspaces[record.name] = record
      iterator.next()
    }
    try iterator.check()
    return keyspaces
  }

  private static func readTree(
    of keyspace: KeyspaceRecord, _ reads: any EngineReads
  ) throws(StorageError) -> MerkleTree {
    var leaves: [MerkleTree.LeafRecord] = []
    let iterator = reads.iterator()
    StoreKey.prefix(.leaves, keyspace.id).withBytes { iterator.seek($0) }
    while iterator.isValid, let lower = iterator.key.withinArea(.leaves, keyspace.id) {
      let lower = Array(lower)
      let leaf = iterator.value.withSpan { MerkleTree.LeafRecord(lower: lower, encoded: $0) }
      guard let leaf, !leaves.isEmpty || lower.isEmpty else {
        throw StorageError(.damaged, path: reads.path, "a Merkle leaf of keyspace \(keyspace.name)")
      }
      leaves.append(leaf)
      iterator.next()
    }
    try iterator.check()
    return MerkleTree(leaves: leaves)
  }
}
