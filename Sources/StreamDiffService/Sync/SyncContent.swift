public import StreamDiffCore

/// A keyspace's content that does not change while it is looked at: its Merkle tree, and the digest
/// records under that. Calls may block: a session makes them on a thread that may.
public protocol SyncContent: Sendable {
  /// The applied index of a replica's content; zero elsewhere.
  var index: LogIndex { get }

  /// Clean.
  var tree: MerkleTree { get }

  /// Appends the records with `lower <= key < upper` (`nil`: to the end) in key order, at most `limit`
  /// of them.
  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws
}

/// What a sender brings.
public protocol SyncSource: SyncContent {
  /// What a user counts: the files and links of a directory, or every entry.
  var countedEntries: Int { get }

  /// Visits the value of each key once, in order. One session makes one call at a time, from any thread.
  /// - Parameter keys: a run of planned puts, a few thousand with a few MiB of values: in key order, except
  ///   that a file's record may come behind its parts and pieces.
  /// - Throws: `SyncFailure(.sourceChanged)` when a value is gone or no longer has its digest, or what
  ///   `visit` throws.
  func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws
}

extension SyncSource {
  public var countedEntries: Int { tree.count }
}

/// What a receiver drives. Blocking work belongs on threads of its own.
public protocol SyncSink: Sendable {
  /// The content before the first operation. Called once.
  func content() async throws -> any SyncContent

  /// The same with what is applied of the session already, called instead.
  /// - Parameter sender: its hello, where that has come.
  func open(for sender: Hello?) async throws -> SinkOpening

  /// Takes whole operations, one run after the other.
  ///
  /// Returns when it has room for more: that is how a slow disk slows the sender. `done` is called once
  /// for each call that returned, in their order, when the run is durable and visible: from any thread,
  /// before or after the return.
  func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws

  /// The content when every run so far is durable and visible.
  func seal() async throws -> any SyncContent
}

extension SyncSink {
  /// A sink that remembers no sessions.
  public func open(for sender: Hello?) async throws -> SinkOpening {
    SinkOpening(content: try await content())
  }
}

/// Where a receiver begins.
public struct SinkOpening: Sendable {
  public var content: any SyncContent
  /// Operations of the session that were decided over earlier connections, and how many of them were
  /// conflicts.
  public var lastOrdinal: Ordinal
  public var conflicts: UInt64

  public init(content: any SyncContent, lastOrdinal: Ordinal = .zero, conflicts: UInt64 = 0) {
    (self.content, self.lastOrdinal, self.conflicts) = (content, lastOrdinal, conflicts)
  }
}

/// What became of a run.
public struct AppliedRun: Hashable, Sendable {
  /// The log index that applied it; zero where there is no log.
  public var index: LogIndex
  /// Operations of this run that were refused because what they replace had changed.
  public var conflicts: Int

  public init(index: LogIndex = .zero, conflicts: Int = 0) {
    (self.index, self.conflicts) = (index, conflicts)
  }
}
