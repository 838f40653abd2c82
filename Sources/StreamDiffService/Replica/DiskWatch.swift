import Logging
import StreamDiffCore
import StreamDiffStorage
import Synchronization

/// Samples the disk's free space on the replica's threads and says, cheaply and anywhere, whether writes
/// are taken.
final class DiskWatch: Sendable {
  private struct State {
    var floor: DiskFloor
    var refusal: ReplicaError?
  }

  private let directory: String
  /// Bytes that were accepted, or will be before the next sample, and may still need space.
  private let owed: UInt64
  private let fileSystem: any FileSystem
  private let logger: Logger
  private let state: Mutex<State>
  private let isReadOnly = Atomic<Bool>(false)

  /// - Parameter limits: what is owed at most: a log segment, what waits for the log, and what no flush
  ///   covers yet.
  init(
    _ directory: String, floor: UInt64?, limits: ReplicaLimits, fileSystem: any FileSystem, logger: Logger
  ) {
    (self.directory, self.fileSystem, self.logger) = (directory, fileSystem, logger)
    owed = UInt64(limits.segmentBytes + limits.queuedProposalBytes + limits.unflushedBytes)
    state = Mutex(State(floor: DiskFloor(floor)))
  }

  /// Why no write is taken; `nil` while they are.
  var refusal: ReplicaError? {
    guard isReadOnly.load(ordering: .acquiring) else { return nil }
    return state.withLock { $0.refusal }
  }

  /// Asks the disk. On a thread that may block.
  func sample() {
    // What cannot be asked changes nothing: a failing disk shows where it is written.
    guard let space = try? fileSystem.space(at: directory), space.total > 0 else { return }
    let reading = DiskFloor.Reading(total: space.total, available: space.available, owed: owed)
    let (change, reason): (Bool, String) = state.withLock { state in
      let change = state.floor.take(reading)
      let reason =
        "read-only: only \(readable(space.available)) free of \(readable(space.total)) in \(directory); needs "
        + readable(state.floor.needed(reading))
      state.refusal = state.floor.isReadOnly ? ReplicaError(.readOnly, reason) : nil
      isReadOnly.store(state.floor.isReadOnly, ordering: .releasing)
      return (change, reason)
    }
    guard change else { return }
    if refusal != nil {
      logger.warning("\(reason)")
    } else {
      logger.notice("takes writes again: \(readable(space.available)) free in \(directory)")
    }
  }

  private func readable(_ bytes: UInt64) -> String {
    let tenths = bytes / (1 << 20) * 10 + bytes % (1 << 20) * 10 / (1 << 20)
    return "\(tenths / 10).\(tenths % 10) MiB"
  }
}
