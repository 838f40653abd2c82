import StreamDiffCore
import StreamDiffService
import Synchronization

/// What a session plans, as a user counts it: files and links, or lines. A file's pieces come with its
/// record, and directories are not counted. Takes operations from any thread.
final class PlanLog: Sendable {
  /// Keys kept to be listed.
  static let listed = 1000

  private struct State {
    /// Eight bytes for each changed entry: a key planned again after a break is counted once.
    var changed: Set<UInt64> = []
    var deleted: Set<UInt64> = []
    var isFull = true
    var isEmpty = true
    var keys: [[UInt8]] = []
    var comparedAt: [LogIndex] = []
  }

  private let kind: KeyspaceKind
  private let state = Mutex(State())

  init(_ kind: KeyspaceKind) { self.kind = kind }

  func add(_ operations: [PlannedOperation]) {
    state.withLock { state in
      for operation in operations {
        state.isEmpty = false
        if operation.change == .delete || operation.expectation != .absent { state.isFull = false }
        guard let name = name(of: operation.key) else { continue }
        if !isDirectory(name) {
          let hash = UInt64(bitPattern: Int64(name.hashValue))
          state.changed.insert(hash)
          if operation.change == .delete { state.deleted.insert(hash) }
        }
        if state.keys.count < Self.listed { state.keys.append(name) }
      }
    }
  }

  func compares(at index: LogIndex) { state.withLock { $0.comparedAt.append(index) } }

  /// The receiver's log index of each round.
  var comparedAt: [LogIndex] { state.withLock { $0.comparedAt } }

  /// Files and links, or lines.
  var changed: Int { state.withLock { $0.changed.count } }

  /// Of these, the ones that go.
  var deleted: Int { state.withLock { $0.deleted.count } }

  /// Whether something was planned and all of it was new to the receiver.
  var isFull: Bool { state.withLock { $0.isFull && !$0.isEmpty } }

  /// Whether nothing was planned.
  var isEmpty: Bool { state.withLock { $0.isEmpty } }

  /// The first names that were planned.
  var keys: [[UInt8]] { state.withLock { $0.keys } }

  /// Begins again.
  func clear() { state.withLock { $0 = State() } }

  /// The path of a record, or the key; nil for what belongs to a record.
  func name(of key: [UInt8]) -> [UInt8]? {
    kind == .plain ? key : DirectoryListing.path(ofRecord: key)
  }

  private func isDirectory(_ name: [UInt8]) -> Bool { kind == .directory && name.last == UInt8(ascii: "/") }
}
