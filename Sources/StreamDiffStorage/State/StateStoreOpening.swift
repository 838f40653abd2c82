import StreamDiffCore

extension StateStore {
  /// Opens the state in `directory`, creating it when missing. Its parent must exist.
  public static func open(
    _ directory: String, options: Options = Options()
  ) throws(StorageError) -> StateStore {
    let database = try Database(
      opening: directory,
      Database.Configuration(
        writeBufferBytes: options.writeBufferBytes, cacheBytes: options.cacheBytes,
        compresses: options.compresses))
    return try open(on: database)
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
    let format: UInt32? = try StoreKey.format.withBytes { (key) throws(StorageError) in
      try engine.latest.get(key) { StoredInteger.read($0, at: 0) ?? 0 }
    }
    switch format {
    case StoreKey.currentFormat: return
    case nil, 1:
      let batch = engine.makeBatch()
      batch.put(StoreKey.format, StoredInteger.bytes(StoreKey.currentFormat))
      try engine.write(batch, .stateFormat)
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
