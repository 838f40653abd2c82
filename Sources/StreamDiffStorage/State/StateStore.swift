public import StreamDiffCore
import Synchronization

/// What a read of the latest state found. `index`: the answer holds everything applied up to there.
public enum ReadResult: Hashable, Sendable {
  case found([UInt8], LogIndex)
  case absent(LogIndex)
  /// Only of reads that must not block: the answer needs the disk.
  case wouldBlock
}

/// The state of a replica: keyspaces with their entries, digest records and Merkle leaves, and the log
/// index up to which they are applied. A crash loses a suffix of the commits since the last flush,
/// never a part of one; the log brings it back from `recoveredIndex` on.
///
/// One thread builds and commits transactions. Everything else may be called from any thread.
public final class StateStore: Sendable {
  public struct Options: Hashable, Sendable {
    /// What is gathered in memory before it goes to disk by itself. Two of them may exist at a time.
    public var writeBufferBytes = 64 << 20
    /// Blocks kept in memory, their indexes and filters included.
    public var cacheBytes = 64 << 20
    /// LZ4 in the files.
    public var compresses = true

    public init() {}
  }

  struct Published: Sendable {
    /// `nil` once closed.
    var engine: (any StateEngine)?
    var applied: LogIndex
    var term: Term
    var keyspaces: [KeyspaceName: KeyspaceRecord]
    var trees: [UInt32: MerkleTree]
    var sessions: SessionTable
    var unflushedBytes = 0
  }

  /// The state as it was found on disk: the log goes on behind it.
  public let recoveredIndex: LogIndex
  public let recoveredTerm: Term
  private let path: String
  private let published: Mutex<Published>
  /// Held from a batch's write until it is published, so that a view sees both or neither.
  private let commits = Mutex<Void>(())

  init(_ engine: any StateEngine, _ state: Published) {
    path = engine.path
    (recoveredIndex, recoveredTerm) = (state.applied, state.term)
    published = Mutex(state)
  }

  public var appliedIndex: LogIndex { published.withLock { $0.applied } }
  public var appliedTerm: Term { published.withLock { $0.term } }

  /// Bytes of batches since the last `flush`, the engine's own flushes not counted: how much log a
  /// restart would replay at most.
  public var unflushedBytes: Int { published.withLock { $0.unflushedBytes } }

  /// By name.
  public var keyspaces: [KeyspaceRecord] {
    published.withLock { $0.keyspaces.values.sorted { $0.name < $1.name } }
  }

  public func keyspace(named name: KeyspaceName) -> KeyspaceRecord? {
    published.withLock { $0.keyspaces[name] }
  }

  /// What is remembered of all sessions together.
  public var sessions: SessionTable { published.withLock { $0.sessions } }

  // MARK: Writing

  /// Begins a batch on top of what is committed.
  public func transaction() throws(StorageError) -> StateStoreTransaction {
    let (engine, state) = try current()
    return StateStoreTransaction(
      engine, keyspaces: state.keyspaces, trees: state.trees, sessions: state.sessions)
  }

  /// Makes a batch visible, all of it at once.
  /// - Parameters:
  ///   - index: the last log entry whose effects are in the state now; never lower than before. A batch
  ///     that only refreshed Merkle trees commits at the index already reached.
  ///   - term: of that entry.
  public func commit(
    _ transaction: StateStoreTransaction, appliedIndex index: LogIndex, term: Term
  ) throws(StorageError) {
    let batch = transaction.seal(appliedIndex: index, term: term)
    let bytes = batch.byteCount
    defer { transaction.finish() }
    do throws(StorageError) {
      try commits.withLock { (_) throws(StorageError) in
        try transaction.engine.write(batch, .stateBatch)
        let former = published.withLock { state in
          let former = state
          precondition(index >= state.applied, "applied moved back: \(state.applied) to \(index)")
          (state.applied, state.term) = (index, term)
          (state.keyspaces, state.trees) = (transaction.keyspaces, transaction.trees)
          state.sessions = transaction.sessions.table
          state.unflushedBytes += bytes
          return former
        }
        // Tree nodes that nobody needs now are freed here: readers wait for the lock above.
        withExtendedLifetime(former) {}
      }
    } catch {
      letGo()
      throw error
    }
  }

  /// Puts what is committed on disk and waits for it.
  /// - Returns: an index that is covered. The log up to it may go.
  public func flush() throws(StorageError) -> LogIndex {
    // Noted before the flush begins: what commits meanwhile may or may not be covered.
    let (engine, state) = try current()
    do throws(StorageError) {
      try engine.flush(.stateFlush)
    } catch {
      letGo()
      throw error
    }
    published.withLock { $0.unflushedBytes -= state.unflushedBytes }
    return state.applied
  }

  /// Flushes and lets go of the engine, which closes with the last view. Later calls throw `.closed`.
  public func close() throws(StorageError) {
    _ = try flush()
    letGo()
  }

  /// A failed write or flush is final: nothing is tried again, here or by the engine, until the state is
  /// opened anew. The engine closes with the last view.
  private func letGo() {
    // Freed outside the lock: closing an engine takes its time.
    let former = published.withLock { state in
      defer { state.engine = nil }
      return state.engine
    }
    withExtendedLifetime(former) {}
  }

  // MARK: Reading

  /// Reads one value of the latest state and checks it against its digest.
  /// - Parameter blocking: false on an event loop: then only memory is looked at.
  public func get(
    _ key: [UInt8], in name: KeyspaceName, blocking: Bool = true
  ) throws(StorageError) -> ReadResult {
    let (engine, applied, keyspace) = published.withLock { ($0.engine, $0.applied, $0.keyspaces[name]) }
    guard let engine else { throw closed }
    guard let keyspace else { return .absent(applied) }
    let reads = blocking ? engine.latest : engine.cached
    do throws(StorageError) {
      guard let value = try EntryReader(reads, keyspace).get(key) else { return .absent(applied) }
      return .found(value, applied)
    } catch {
      switch error.code {
      case .notCached: return .wouldBlock
      case .damaged: break
      default: throw error
      }
    }
    // A commit between the two reads makes them disagree; at one snapshot they must not.
    guard blocking else { return .wouldBlock }
    let value = try EntryReader(engine.snapshot(), keyspace).get(key)
    return value.map { .found($0, applied) } ?? .absent(applied)
  }

  public func session(_ id: SessionID) throws(StorageError) -> SessionRecord? {
    try current().0.latest.session(id)
  }

  /// The session that was not used for longest, and the same of those that are not expired.
  public func oldestSessions() throws(StorageError) -> (oldest: SessionUse?, alive: SessionUse?) {
    let (engine, state) = try current()
    let uses = SessionUses(engine.latest)
    let oldest = try uses.first(from: .zero)?.1
    let alive = try state.sessions.oldestAlive { (index) throws(StorageError) in
      try uses.first(from: index)?.1
    }
    return (oldest, alive)
  }

  /// Freezes the state as it is between two commits. Waits for a commit that is under way.
  public func view() throws(StorageError) -> StateView {
    try commits.withLock { (_) throws(StorageError) in
      let (engine, state) = try current()
      return StateView(engine.snapshot(), state)
    }
  }

  private func current() throws(StorageError) -> (any StateEngine, Published) {
    let state = published.withLock { $0 }
    guard let engine = state.engine else { throw closed }
    return (engine, state)
  }

  private var closed: StorageError {
    StorageError(.closed, path: path, "the state was closed, or a write of it failed; start again")
  }
}
