import StreamDiffCore
import StreamDiffService
import Synchronization

/// What a session plans, as a user counts it: files and links, or lines. A file's pieces come with its
/// record, and directories are not counted. Takes operations from any thread.
final class PlanLog: Sendable {
  /// Keys kept to be listed.
  private static let listed = 1000

  private struct State {
    /// Eight bytes for each changed entry: a key planned again after a break is counted once.
    var changed: Set<UInt64> = []
    var isFull = true
    var round = 0
    var keys: [[UInt8]] = []
  }

  private let kind: KeyspaceKind
  private let state = Mutex(State())

  init(_ kind: KeyspaceKind) { self.kind = kind }

  func add(round: Int, _ operations: [PlannedOperation]) {
    state.withLock { state in
      if round != state.round { (state.round, state.keys) = (round, []) }
      for operation in operations {
        if operation.change == .delete || operation.expectation != .absent { state.isFull = false }
        guard let name = name(of: operation.key) else { continue }
        if !isDirectory(name) { state.changed.insert(UInt64(bitPattern: Int64(name.hashValue))) }
        if state.keys.count < Self.listed { state.keys.append(name) }
      }
    }
  }

  /// Files and links, or lines.
  var changed: Int { state.withLock { $0.changed.count } }

  /// Whether everything planned was new to the receiver.
  var isFull: Bool { state.withLock { $0.isFull } }

  /// What the last round planned, at most a thousand names: after the last round of a session, its conflicts.
  var lastRound: [[UInt8]] { state.withLock { $0.keys } }

  /// The path of a record, or the key; nil for what belongs to a record.
  func name(of key: [UInt8]) -> [UInt8]? {
    kind == .plain ? key : DirectoryListing.path(ofRecord: key)
  }

  private func isDirectory(_ name: [UInt8]) -> Bool { kind == .directory && name.last == UInt8(ascii: "/") }
}
