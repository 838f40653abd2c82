import Glibc
public import StreamDiffCore
import Synchronization

/// An NDJSON file as the sink of a session (a pull into DEST).
///
/// Operations are collected and merged with what the file held; `publish` then writes the file anew, in key
/// order, beside the old one and renames it into place. Until then the old file is untouched.
public final class NDJSONSink: SyncSink {
  private let path: String
  private let bounds: SortBounds
  private let state: Mutex<State>
  private let isPublishing = Atomic<Bool>(false)

  private struct State {
    var entries: SortedEntries
    var sorter: RunSorter
    var operations: UInt64 = 0
    var hasChanges = false
  }

  private init(path: String, _ entries: SortedEntries, _ bounds: SortBounds) {
    (self.path, self.bounds) = (path, bounds)
    state = Mutex(State(entries: entries, sorter: RunSorter(bounds)))
  }

  /// Reads the file, if there is one. What stands behind a symbolic link is written, and the link stays.
  ///
  /// - Throws: `AdapterError`; for a link that leads nowhere too.
  public static func open(_ path: String, meter: ScanMeter = ScanMeter()) async throws -> NDJSONSink {
    try await open(path, meter: meter, bounds: SortBounds())
  }

  package static func open(
    _ path: String, meter: ScanMeter = ScanMeter(), bounds: SortBounds
  ) async throws -> NDJSONSink {
    let path = try await AdapterThreads.run { () throws(AdapterError) in
      let path = try target(of: path)
      EntryFileWriter.removeUnfinished(beside: path)
      return path
    }
    let entries =
      access(path, F_OK) == 0
      ? try await EntryFile.read(path, meter: meter, bounds: bounds)
      : try await AdapterThreads.run { () throws(AdapterError) in try SortedEntries(merging: []) }
    return NDJSONSink(path: path, entries, bounds)
  }

  private static func target(of path: String) throws(AdapterError) -> String {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return path }
    guard let resolved = realpath(path, nil) else {
      throw AdapterError(.io, path: path, "is a link that leads nowhere; remove it, or name the file itself")
    }
    defer { free(resolved) }
    return String(cString: resolved)
  }

  /// The program ends: removes what `publish` may have begun to write.
  public func abandon() {
    EntryFileWriter.removeUnfinished(beside: path, isOurs: isPublishing.load(ordering: .relaxed))
  }

  /// What the file is to hold. A session that broke off leaves what it had brought.
  public func content() async throws -> any SyncContent { try await seal() }

  public func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws {
    try await AdapterThreads.run { () throws(AdapterError) in
      try self.state.withLock { state throws(AdapterError) in try self.take(run.operations, into: &state) }
    }
    done(.success(AppliedRun()))
  }

  private func take(_ operations: EncodedOperations, into state: inout State) throws(AdapterError) {
    var (sorter, place) = (state.sorter, state.operations)
    state.sorter = RunSorter(self.bounds)
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
          state.sorter = RunSorter(self.bounds)
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
        self.isPublishing.store(true, ordering: .relaxed)
        defer { self.isPublishing.store(false, ordering: .relaxed) }
        try EntryFileWriter.replace(self.path, with: state.entries)
        state.hasChanges = false
      }
    }
  }
}

/// Writes NDJSON beside a file, makes it durable, and renames it into place.
enum EntryFileWriter {
  /// The directory, with "/" at its end, and the unfinished file in it: the same for the same path, so that
  /// the next pull finds what a killed one left.
  private static func places(of path: String) -> (directory: Substring, temporary: String) {
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let directory = slash.map { path[...$0] } ?? "./"
    let name = slash.map { path[path.utf8.index(after: $0)...] } ?? path[...]
    let number = SHA256.digest(Array(name.utf8)).bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return (directory, String(directory) + String(decoding: TemporaryName.make(number), as: UTF8.self))
  }

  /// Leaves it to another pull that is writing it.
  static func removeUnfinished(beside path: String, isOurs: Bool = false) {
    let temporary = places(of: path).temporary
    let descriptor = open(temporary, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    let file = OpenFile(owning: descriptor)
    if isOurs || flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 { unlink(temporary) }
  }

  static func replace(_ path: String, with entries: SortedEntries) throws(AdapterError) {
    let (directory, temporary) = places(of: path)
    let file = try create(temporary, for: path)
    do throws(AdapterError) {
      try write(entries, to: file, temporary, modeOf: path)
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

  private static func create(_ temporary: String, for path: String) throws(AdapterError) -> OpenFile {
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw .system("create", path: temporary) }
    let file = OpenFile(owning: descriptor)
    let isLocked = flock(descriptor, LOCK_EX | LOCK_NB) == 0
    // Without a name it has just become what another pull wrote.
    guard isLocked, try file.status(path: temporary).st_nlink == 1, ftruncate(descriptor, 0) == 0 else {
      throw AdapterError(.refused, path: path, "another pull writes to it; wait until it is over")
    }
    return file
  }

  private static func write(
    _ entries: SortedEntries, to file: OpenFile, _ temporary: String, modeOf old: String
  ) throws(AdapterError) {
    var status = stat()
    if stat(old, &status) == 0 { _ = fchmod(file.descriptor, status.st_mode & 0o777) }
    var writer = SpillWriter(SpillFile(file, path: temporary))
    try entries.visitAll { entry throws(AdapterError) in
      guard let value = entry.value else { return }
      try writer.append {
        JSONText.appendEntry(key: entry.key, value: value, to: &$0)
        $0.append(0x0a)
      }
    }
    try writer.flush()
    guard fsync(file.descriptor) == 0 else { throw .system("sync", path: temporary) }
  }
}
