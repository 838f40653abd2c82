import Synchronization

/// Something that an inspection came upon.
public struct Finding: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable {
    /// Bytes are not what was written, or do not agree with each other.
    case damage
    /// Worth knowing, and nothing is wrong: what a killed process leaves behind.
    case note
  }

  public var kind: Kind
  public var path: String?
  /// Byte offset in `path`.
  public var offset: UInt64?
  /// The keyspace and key at fault, where it is an entry or a Merkle leaf.
  public var keyspace: String?
  public var key: [UInt8]?
  public var detail: String

  init(
    _ kind: Kind, path: String?, offset: UInt64? = nil, keyspace: String? = nil, key: [UInt8]? = nil,
    _ detail: String
  ) {
    (self.kind, self.path, self.offset) = (kind, path, offset)
    (self.keyspace, self.key, self.detail) = (keyspace, key, detail)
  }

  /// - Parameter error: of any code: what could not be read is no better than damaged.
  public init(_ error: StorageError) {
    let detail = error.code == .damaged ? error.detail : "\(error.code.rawValue): \(error.detail)"
    self.init(.damage, path: error.path, offset: error.offset, detail)
  }
}

/// What an inspection found, bounded: all are counted, the first of each kind are kept.
public final class Findings: Sendable {
  /// Kept of each kind: more do not help to understand what happened.
  public static let kept = 1000

  private struct State {
    var damages: [Finding] = []
    var notes: [Finding] = []
    var damageCount = 0
    var noteCount = 0
    /// Messages of RocksDB that were added: a damaged block shows with every read of it.
    var messages: Set<String> = []
  }

  private let state = Mutex(State())

  public init() {}

  public var damages: [Finding] { state.withLock { $0.damages } }
  public var notes: [Finding] { state.withLock { $0.notes } }
  public var damageCount: Int { state.withLock { $0.damageCount } }
  public var noteCount: Int { state.withLock { $0.noteCount } }

  public func add(_ finding: Finding) {
    state.withLock { state in
      switch finding.kind {
      case .damage:
        state.damageCount += 1
        if state.damages.count < Self.kept { state.damages.append(finding) }
      case .note:
        state.noteCount += 1
        if state.notes.count < Self.kept { state.notes.append(finding) }
      }
    }
  }

  func add(_ error: StorageError) { add(Finding(error)) }

  /// The same failure is added once, however often it shows.
  func addOnce(_ error: StorageError) {
    let isNew = state.withLock { state in
      state.messages.count < Self.kept && state.messages.insert(error.description).inserted
    }
    if isNew { add(error) }
  }
}

/// How far an inspection is, in bytes; written by the one that inspects, read from anywhere.
public final class InspectionMeter: Sendable {
  private let doneBytes = Atomic<UInt64>(0)
  private let totalBytes = Atomic<UInt64>(0)

  public init() {}

  public var done: UInt64 { doneBytes.load(ordering: .relaxed) }
  public var total: UInt64 { totalBytes.load(ordering: .relaxed) }

  func expect(_ bytes: UInt64) { totalBytes.wrappingAdd(bytes, ordering: .relaxed) }
  func advance(_ bytes: Int) { doneBytes.wrappingAdd(UInt64(bytes), ordering: .relaxed) }
}
