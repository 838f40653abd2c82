import Logging
import StreamDiffCore
import StreamDiffStorage
import Synchronization

/// A server's tunables, their file, and the open sessions that follow them.
final class ServerTuning: Sendable {
  private struct Session {
    var peer: TuningPeer?
    var isSending: Bool
    var tuning: SessionTuning
  }

  private struct State {
    var table: TuningTable
    var sessions: [UInt64: Session] = [:]
    var next: UInt64 = 0
    /// Open ones. (The next from an address and port may come before the end of the last is seen.)
    var connections: [TuningPeer: Int] = [:]

    /// What was tuned for a connection ends with it.
    mutating func forget() {
      table.forgetTuned { connections[$0] != nil }
    }
  }

  private let path: String
  private let fileSystem: any FileSystem
  private let logger: Logger
  /// Of all sessions.
  let refusals: CongestionRefusals
  private let state: Mutex<State>
  /// Held over a change and its file: they are made one after the other. Never on an event loop.
  private let changing = Mutex(())

  /// Reads the file, if there is one. Blocks.
  /// - Parameter flags: what the command line says.
  /// - Throws: `TunablesFileError`, `TunableError` for the flags, `StorageError`.
  init(
    flags: [Setting], directory: String, fileSystem: any FileSystem, logger: Logger
  ) throws {
    path = "\(directory)/\(DataDirectory.tunablesName)"
    (self.fileSystem, self.logger) = (fileSystem, logger)
    refusals = CongestionRefusals { control, reason in
      logger.warning(
        "the system refuses a congestion control, and keeps its own",
        metadata: ["congestion": "\(control)", "reason": "\(reason)"])
    }
    state = Mutex(State(table: try TuningTable(flags: flags)))
    let file = try read()
    try state.withLock { try replace(file, in: &$0.table) }
    warnOfIdle(table)
  }

  // MARK: Sessions

  /// What a session goes by until `leave`.
  /// - Parameter peer: as `status` shows it.
  func enter(peer: String, isSending: Bool) -> (tuning: SessionTuning, number: UInt64) {
    state.withLock { state in
      let peer = TuningPeer(peer)
      let tuning = SessionTuning(
        state.table.settings(for: peer), given: state.table.given(for: peer),
        wishes: isSending ? [] : state.table.wishes(for: peer))
      state.next += 1
      state.sessions[state.next] = Session(peer: peer, isSending: isSending, tuning: tuning)
      return (tuning, state.next)
    }
  }

  func leave(_ number: UInt64) { state.withLock { $0.sessions[number] = nil } }

  /// - Returns: the peers of open sessions.
  private func adopt(_ table: TuningTable) -> [TuningPeer?] {
    let sessions = state.withLock { state in
      state.table = table
      state.forget()
      return state.sessions.values
    }
    for session in sessions {
      session.tuning.change(
        to: table.settings(for: session.peer), given: table.given(for: session.peer),
        wishes: session.isSending ? [] : table.wishes(for: session.peer))
    }
    return sessions.map(\.peer)
  }

  // MARK: Connections

  /// One came, or went. On its loop.
  /// - Parameter peer: as `status` shows it.
  func connection(_ peer: String, isOpen: Bool) {
    guard let peer = TuningPeer(peer) else { return }
    state.withLock { state in
      let count = state.connections[peer, default: 0] + (isOpen ? 1 : -1)
      state.connections[peer] = count > 0 ? count : nil
      if count <= 0 { state.forget() }
    }
  }

  // MARK: Reading and changing

  var table: TuningTable { state.withLock { $0.table } }

  /// Does all of it or nothing. Blocks.
  /// - Parameters:
  ///   - isPersistent: it stands in the file before it holds; without a change all that was tuned.
  ///   - caller: for the log.
  /// - Returns: how many open sessions it reached.
  /// - Throws: `TunableError`, `TuningRefusal`, `TunablesFileError`, `StorageError`.
  func apply(_ change: TuningChange, isPersistent: Bool, caller: String) throws -> Int {
    try changing.withLock { _ in
      let before = table
      var after = before
      var persisted: TunablesFile?
      if isPersistent {
        let changes = change.isEmpty ? before.changes : [change]
        persisted = try persist(changes, in: &after)
      } else {
        try after.apply(change)
      }
      if let peer = change.peer, peer.port != nil, !isPersistent, !change.values.isEmpty {
        guard state.withLock({ $0.connections[peer] != nil }) else { throw TuningRefusal.notConnected(peer) }
      }
      guard after.peers.count <= TuningTable.peersLimit else { throw TuningRefusal.tooManyPeers }
      if let persisted { try fileSystem.replaceFile(path, with: persisted.bytes) }
      let peers = adopt(after)
      log(from: before, to: after, by: caller, isPersistent: isPersistent)
      guard !change.isEmpty else { return 0 }
      return peers.count { peer in change.peer.map { peer.map($0.covers) ?? false } ?? true }
    }
  }

  /// - Returns: the file as it is to be, which `table` has then.
  private func persist(_ changes: [TuningChange], in table: inout TuningTable) throws -> TunablesFile {
    let file = try read()
    var changed = file
    for change in changes { changed.apply(change) }
    do throws(TuningTable.Contradiction) {
      try table.replace(file: changed.values, persisted: changes)
    } catch {
      // It was edited since, and is at fault by itself; or the change is.
      var unchanged = table
      try replace(file, in: &unchanged)
      throw TunableError(error.error.tunable, "\(error)")
    }
    return changed
  }

  /// Reads the file again. One that is wrong changes nothing. Blocks.
  func reload() {
    changing.withLock { _ in
      let before = table
      var after = before
      do {
        try replace(try read(), in: &after)
      } catch {
        return logger.error("tunables are left as they are", metadata: ["reason": "\(error)"])
      }
      _ = adopt(after)
      log(from: before, to: after, by: "SIGHUP", isPersistent: false)
      warnOfIdle(after)
      logger.info("tunables were read", metadata: ["file": "\(path)"])
    }
  }

  private func read() throws -> TunablesFile {
    guard let bytes = try fileSystem.readFile(path, limit: TunablesFile.bytesLimit) else {
      return TunablesFile()
    }
    do throws(TunablesFile.Problem) {
      return try TunablesFile(bytes)
    } catch {
      throw TunablesFileError(path: path, line: error.line, detail: error.detail)
    }
  }

  private func replace(_ file: TunablesFile, in table: inout TuningTable) throws {
    do throws(TuningTable.Contradiction) {
      try table.replace(file: file.values)
    } catch {
      throw TunablesFileError(
        path: path, line: file.line(of: error.error.tunable, for: error.peer), detail: "\(error)")
    }
  }

  private func warnOfIdle(_ table: TuningTable) {
    for idle in table.idle {
      logger.warning("a tunable comes to nothing", metadata: ["file": "\(path)", "reason": "\(idle)"])
    }
  }

  private func log(from before: TuningTable, to after: TuningTable, by caller: String, isPersistent: Bool) {
    for peer in [nil] + Set(before.peers + after.peers).sorted() {
      let (old, new) = (before.settings(for: peer), after.settings(for: peer))
      guard peer == nil || before.settings(setFor: peer) != after.settings(setFor: peer) else { continue }
      let changes = Tunable.allCases.filter { old.text(of: $0) != new.text(of: $0) }.map {
        "\($0.rawValue) \(old.text(of: $0)) -> \(new.text(of: $0))"
      }
      guard !changes.isEmpty else { continue }
      logger.info(
        "tunables changed",
        metadata: [
          "peer": "\(peer.map(\.description) ?? "all")", "changes": "\(changes.joined(separator: ", "))",
          "by": "\(caller)", "persistent": "\(isPersistent)",
        ])
    }
  }
}

/// The configuration file is wrong.
struct TunablesFileError: Error, CustomStringConvertible {
  var path: String
  /// `nil` where it is wrong by what it does not say.
  var line: Int?
  var detail: String
  var description: String { "\(path):\(line.map { "\($0):" } ?? "") \(detail)" }
}

enum TuningRefusal: Error {
  /// It would hold for nobody, and stay.
  case notConnected(TuningPeer)
  case tooManyPeers
}
