extension SyncMessage {
  var isHello: Bool { if case .hello = self { true } else { false } }

  /// For an error's text.
  var name: String {
    switch self {
    case .hello: "a hello"
    case .expand: "an expand"
    case .frontier: "a frontier"
    case .ack: "an ack"
    case .sealResult: "a seal result"
    case .hint: "a hint"
    case .report: "a report"
    case .chunk: "a chunk"
    }
  }
}

extension Hello {
  /// What both sides ask of the other's hello.
  public func check(
    is role: SyncRole, of keyspace: KeyspaceName, kind ours: KeyspaceKind?
  ) throws(SyncError) {
    guard version == Hello.version else {
      throw SyncError(.unsupported, "protocol version \(version); this program speaks \(Hello.version)")
    }
    guard self.role == role else { throw .violation("both sides want to be the \(self.role)") }
    guard self.keyspace == keyspace else {
      throw .violation("the hello names keyspace \(self.keyspace), not \(keyspace)")
    }
    guard let theirs = kind, let ours, theirs != ours else { return }
    throw SyncError(
      .refused, "keyspace \(keyspace) is \(ours.word) here and \(theirs.word) on the other side")
  }
}

extension KeyspaceKind {
  fileprivate var word: String {
    switch self {
    case .plain: "plain"
    case .directory: "a directory"
    }
  }
}

extension MerkleTree {
  var position: KeyspacePosition { KeyspacePosition(root: root, entries: count, bytes: bytes) }
}
