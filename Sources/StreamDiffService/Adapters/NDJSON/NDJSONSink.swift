import Glibc
public import StreamDiffCore
import Synchronization

/// An NDJSON file as the sink of a session (a pull into DEST).
///
/// Operations are collected and merged with what the file held; `publish` then writes the file anew, in key
/// order, beside the old one and renames it into place. Until then the old file is untouched.
public final class NDJSONSink: SyncSink {
  private let path: String
  private let state: Mutex<State>

  private struct State {
    var entries: SortedEntries
    var sorter = RunSorter()
    var operations: UInt64 = 0
    var hasChanges = false
  }

  private init(path: String, _ entries: SortedEntries) {
    self.path = path
    state = Mutex(State(entries: entries))
  }

  /// Reads the file, if there is one.
  public static func open(_ path: String, meter: ScanMeter = ScanMeter()) async throws -> NDJSONSink {
    let entries =
      access(path, F_OK) == 0
      ? try await EntryFile.read(path, meter: meter)
      : try await AdapterThreads.run { () throws(AdapterError) in try SortedEntries(merging: []) }
    return NDJSONSink(path: path, entries)
  }

  /// What the file is to hold. A session that broke off leaves what it had brought.
  public func content() async throws -> any SyncContent { try await seal() }

  public func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws {
    try await AdapterThreads.run { () throws(AdapterError) in
      try self.state.withLock { state throws(AdapterError) in try Self.take(run.operations, into: &state) }
    }
    done(.success(AppliedRun()))
  }

  private static func take(_ operations: EncodedOperations, into state: inout State) throws(AdapterError) {
    var (sorter, place) = (state.sorter, state.operations)
    state.sorter = RunSorter()
    for operation in operations {
      place += 1
      sorter.add(place: place) { arena throws(Never) -> (keyBytes: Int, valueBytes: Int?)? in
        arena.append(contentsOf: operations.bytes[operation.key])
        guard operation.kind == .put else { return (operation.key.count, nil) }
        arena.append(contentsOf: operations.bytes[operation.value])
        return (operation.key.count, operation.value.count)
      }
      if sorter.isFull { try sorter.spill() }
    }
    (state.sorter, state.operations) = (sorter, place)
    state.hasChanges = true
  }

  public func seal() async throws -> any SyncContent {
    try await AdapterThreads.run { () throws(AdapterError) in
      try self.state.withLock { state throws(AdapterError) in
        try state.sorter.spill()
        if !state.sorter.runs.isEmpty {
          state.entries = try SortedEntries(merging: [state.entries.asRun] + state.sorter.runs)
          state.sorter = RunSorter()
        }
        return state.entries
      }
    }
  }

  /// Keys written or removed so far; entries that are there; bytes of their keys and values.
  public var summary: (changed: Int, entries: Int, bytes: Int) {
    state.withLock { (Int($0.operations), $0.entries.tree.count, $0.entries.tree.bytes) }
  }

  /// Writes the sealed content to the file: it then holds the old content or the new one, whatever happens.
  /// Where nothing was changed and there is a file, it is left as it is.
  public func publish() async throws {
    try await AdapterThreads.run { () throws(AdapterError) in
      try self.state.withLock { state throws(AdapterError) in
        guard state.hasChanges || access(self.path, F_OK) != 0 else { return }
        try EntryFileWriter.replace(self.path, with: state.entries)
        state.hasChanges = false
      }
    }
  }
}

/// Writes NDJSON beside a file, makes it durable, and renames it into place.
enum EntryFileWriter {
  static func replace(_ path: String, with entries: SortedEntries) throws(AdapterError) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let directory = slash.map { path[...$0] } ?? "./"
    let temporary =
      String(directory) + String(decoding: TemporaryName.make(.random(in: 0 ... .max)), as: UTF8.self)
    do throws(AdapterError) {
      try write(entries, to: temporary, modeOf: path)
      guard rename(temporary, path) == 0 else { throw AdapterError.system("rename", path: path) }
    } catch {
      unlink(temporary)
      throw error
    }
    let descriptor = open(String(directory), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", path: String(directory)) }
    let opened = OpenFile(owning: descriptor)
    guard fsync(opened.descriptor) == 0 else { throw .system("sync", path: String(directory)) }
  }

  private static func write(
    _ entries: SortedEntries, to temporary: String, modeOf old: String
  ) throws(AdapterError) {
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .system("create", path: temporary) }
    let file = OpenFile(owning: descriptor)
    var status = stat()
    if stat(old, &status) == 0 { _ = fchmod(descriptor, status.st_mode & 0o777) }
    var writer = SpillWriter(SpillFile(file, path: temporary))
    try entries.visitAll { entry throws(AdapterError) in
      guard let value = entry.value else { return }
      try writer.append {
        JSONText.appendEntry(key: entry.key, value: value, to: &$0)
        $0.append(0x0a)
      }
    }
    try writer.flush()
    guard fsync(descriptor) == 0 else { throw .system("sync", path: temporary) }
  }
}
