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
    for record in keyspaces.values { trees[record.id] = try readTree(of: record, reads) }
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
      throw StorageError(
        .newerFormat, path: engine.path,
        "state format \(format), this release knows \(StoreKey.currentFormat)")
    default: throw StorageError(.damaged, path: engine.path, "the record of the state's format")
    }
  }

  private static func readApplied(_ reads: any EngineReads) throws(StorageError) -> (LogIndex, Term) {
    let applied = try StoreKey.applied.withBytes { (key) throws(StorageError) in
      try reads.get(key) { (value) throws(StorageError) in
        guard let index: UInt64 = StoredInteger.read(value, at: 0),
          let term: UInt64 = StoredInteger.read(value, at: 8)
        else { throw StorageError(.damaged, path: reads.path, "the record of the applied index") }
        return (LogIndex(index), Term(term))
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
      let name = String(decoding: iterator.key.dropFirst(StoreKey.keyspaces.count), as: UTF8.self)
      guard let name = KeyspaceName(name), let id: UInt32 = StoredInteger.read(iterator.value, at: 0),
        iterator.value.count == 5, let kind = KeyspaceKind(rawValue: iterator.value[4])
      else { throw StorageError(.damaged, path: reads.path, "the record of keyspace \(name)") }
      keyspaces[name] = KeyspaceRecord(id: id, name: name, kind: kind)
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
