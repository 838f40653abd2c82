/// One message of a StreamDiff session, whichever way it travels: the Swift form of
/// `StreamDiffRequest` and `StreamDiffResponse` in Protos/streamdiff/v1/streamdiff.proto, whose
/// comments hold here too.
public enum SyncMessage: Hashable, Sendable {
  case hello(Hello)
  case expand(Expand)
  case frontier(Frontier)
  case ack(Ack)
  case sealResult(SealResult)
  case hint(AdaptationHint)
  case report(AdaptationReport)
  case chunk(Chunk)
}

public enum SyncRole: UInt8, Hashable, Sendable {
  case sender = 1
  case receiver = 2
}

/// The first message of either side.
public struct Hello: Hashable, Sendable {
  /// Of the protocol that this program speaks.
  public static let version: UInt32 = 1

  /// Of the speaker.
  public var role: SyncRole
  public var version = Hello.version
  public var keyspace: KeyspaceName
  /// `nil`: the speaker leaves it to the other side.
  public var kind: KeyspaceKind?
  /// Chosen by the sender; `nil` from a receiver that speaks first.
  public var session: SessionID?
  /// `nil` from a sender that brings operations and no comparison.
  public var root: Digest?
  public var entries: UInt64 = 0
  /// Of keys and values.
  public var bytes: UInt64 = 0
  /// The applied index at which `root` holds; zero for a plain client.
  public var index = LogIndex.zero
  /// Receiver: salts the fingerprints of the first round.
  public var salt: UInt64 = 0
  /// Receiver: the last ordinal of this session that is applied.
  public var lastOrdinal = Ordinal.zero
  /// Receiver: plain bytes it takes beyond the last acknowledged operation.
  public var credit: UInt64 = 0
  /// Sender: only finds what differs; brings no operations.
  public var isCompareOnly = false
  /// Sender: the session had a receiver's hello before. One that does not know it any more refuses it.
  public var resumes = false

  public init(role: SyncRole, keyspace: KeyspaceName) {
    self.role = role
    self.keyspace = keyspace
  }
}

/// Sender to receiver: show what is under these parts.
public struct Expand: Hashable, Sendable {
  public enum Mode: UInt8, Hashable, Sendable {
    /// Parts that stand six levels below, or leaves; further down where they are few.
    case tree = 0
    /// Fingerprints of the entries.
    case entries = 1
    /// Keys and digests: of the entries of an ENTRIES answer, or the lower bounds of a TREE answer's
    /// parts.
    case keys = 2
  }

  /// 1, 2, 3 … within a round.
  public var request: UInt64
  /// The answer that brought the parts; 0 is Hello or SealResult, whose one part is the root.
  public var source: UInt64
  public var mode: Mode
  /// Runs of places in `source`: rising, apart, none empty.
  public var runs: [Range<UInt32>]
  /// Answers that will not be named again; `source` may be among them.
  public var release: [UInt64]

  public init(request: UInt64, source: UInt64, mode: Mode, runs: [Range<UInt32>], release: [UInt64] = []) {
    self.request = request
    self.source = source
    self.mode = mode
    self.runs = runs
    self.release = release
  }
}

/// Receiver to sender: the answer to the Expand of the same number. KEYS may take several messages,
/// keys rising through all of them; the last one carries `sizes`.
public struct Frontier: Hashable, Sendable {
  public var request: UInt64
  public var fingerprints: [UInt64]
  /// TREE: entries under each part; at most `MerkleTree.leafCapacity` means a leaf.
  public var counts: [UInt32]
  /// Answers per run of the request, in its order.
  public var sizes: [UInt32]
  public var keys: [KeyDigest]

  public init(
    request: UInt64, fingerprints: [UInt64] = [], counts: [UInt32] = [], sizes: [UInt32] = [],
    keys: [KeyDigest] = []
  ) {
    self.request = request
    self.fingerprints = fingerprints
    self.counts = counts
    self.sizes = sizes
    self.keys = keys
  }
}

public struct KeyDigest: Hashable, Sendable {
  public var key: [UInt8]
  public var digest: Digest

  public init(key: [UInt8], digest: Digest) {
    self.key = key
    self.digest = digest
  }
}

/// Receiver to sender: operations are on a majority's disks, applied, and visible.
public struct Ack: Hashable, Sendable {
  /// Every operation up to here is applied or counted as a conflict.
  public var ordinal: Ordinal
  /// The log index that applied it.
  public var index: LogIndex
  /// Operations of this session refused because what they replace had changed.
  public var conflicts: UInt64

  public init(ordinal: Ordinal, index: LogIndex, conflicts: UInt64) {
    self.ordinal = ordinal
    self.index = index
    self.conflicts = conflicts
  }
}

/// Receiver to sender, once for each last chunk: the position that the seal found at its own index.
public struct SealResult: Hashable, Sendable {
  public var index: LogIndex
  public var root: Digest
  public var entries: UInt64
  public var bytes: UInt64
  /// `root` is the sender's.
  public var isEqual: Bool
  /// Where not: of the next comparison, whose part 0 is this root.
  public var salt: UInt64
  public var conflicts: UInt64

  public init(
    index: LogIndex, root: Digest, entries: UInt64, bytes: UInt64, isEqual: Bool, salt: UInt64,
    conflicts: UInt64
  ) {
    self.index = index
    self.root = root
    self.entries = entries
    self.bytes = bytes
    self.isEqual = isEqual
    self.salt = salt
    self.conflicts = conflicts
  }
}
