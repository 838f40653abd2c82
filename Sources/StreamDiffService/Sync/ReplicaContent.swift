public import StreamDiffCore
public import StreamDiffStorage

/// A keyspace of a replica as it was at one index. What the view holds goes with this value.
public struct ReplicaContent: SyncSource {
  public let index: LogIndex
  public let tree: MerkleTree
  /// `nil`: there is no such keyspace, and the content is empty.
  public let keyspace: KeyspaceRecord?
  private let view: StateView

  /// - Parameter view: best with the keyspace's tree up to date; bringing it there blocks.
  public init(_ view: StateView, keyspace name: KeyspaceName) throws {
    self.view = view
    index = view.index
    keyspace = view.keyspace(named: name)
    tree = try keyspace.map { try view.tree(of: $0) } ?? MerkleTree()
  }

  public func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    guard let keyspace else { return }
    records += try view.digests(in: keyspace, ranges: [(lower: lower, upper: upper)], limit: limit)
  }

  public func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws
  {
    guard let keyspace else {
      throw SyncFailure(.sourceFailed, "a keyspace that does not exist has no values")
    }
    for (place, value) in try view.values(of: keys, in: keyspace).enumerated() {
      guard let value else {
        throw SyncFailure(.sourceChanged, "a value that the view's records announce is not there")
      }
      try visit(place, value.span.bytes)
    }
  }
}
