/// What a keyspace is called, is, and how its records are found.
public struct KeyspaceRecord: Hashable, Sendable {
  /// Given in order of creation, hence the same on every replica.
  public var id: UInt32
  public var name: KeyspaceName
  public var kind: KeyspaceKind

  public init(id: UInt32, name: KeyspaceName, kind: KeyspaceKind) {
    self.id = id
    self.name = name
    self.kind = kind
  }
}

/// What a keyspace contains at some log index.
public struct KeyspacePosition: Hashable, Sendable {
  public var root: Digest
  public var entries: Int
  /// Of keys and values.
  public var bytes: Int

  public init(root: Digest, entries: Int, bytes: Int) {
    self.root = root
    self.entries = entries
    self.bytes = bytes
  }

  /// A keyspace without entries, and one that was never created.
  public static let empty = KeyspacePosition(root: MerkleTree().root, entries: 0, bytes: 0)
}

/// What the state machine needs of a store while it builds one batch. Reads see the batch's own
/// changes. Nothing is visible to others, or durable, before the store commits the batch.
public protocol StateTransaction {
  associatedtype StoreError: Error

  mutating func keyspace(named name: KeyspaceName) throws(StoreError) -> KeyspaceRecord?

  /// Called only for a name that `keyspace(named:)` does not find.
  mutating func createKeyspace(
    _ name: KeyspaceName, kind: KeyspaceKind
  ) throws(StoreError) -> KeyspaceRecord

  /// The entry digest of `key`; `nil` when it is absent.
  mutating func digest(of key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(StoreError) -> Digest?

  /// `digest` is the entry digest of `key` and `value`.
  mutating func put(
    key: Span<UInt8>, value: Span<UInt8>, digest: Digest, in keyspace: KeyspaceRecord
  ) throws(StoreError)

  /// An absent key stays absent.
  mutating func delete(key: Span<UInt8>, in keyspace: KeyspaceRecord) throws(StoreError)

  mutating func sessionTable() throws(StoreError) -> SessionTable
  mutating func setSessionTable(_ table: SessionTable) throws(StoreError)

  mutating func session(_ id: SessionID) throws(StoreError) -> SessionRecord?

  /// Adds the record, or replaces the session's. No two records have the same `used.index`.
  mutating func put(_ record: SessionRecord) throws(StoreError)
  mutating func remove(_ record: SessionRecord) throws(StoreError)

  /// Records whose noted use was before `time`, oldest use first. Reads little more than it returns.
  mutating func sessions(usedBefore time: GroupTime, limit: Int) throws(StoreError) -> [SessionRecord]

  /// Content with everything before applied; brings the Merkle tree up to date.
  mutating func position(of keyspace: KeyspaceRecord) throws(StoreError) -> KeyspacePosition
}
