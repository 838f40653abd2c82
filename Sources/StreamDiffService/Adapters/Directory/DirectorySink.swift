import Glibc
public import StreamDiffCore
import Synchronization

/// A directory as the sink of a session (a pull into DEST).
///
/// Acknowledgements say that operations were taken; `seal` makes all of them durable and visible. A pull that
/// breaks off needs no memory of its own: the next one compares again with what is there.
public final class DirectorySink: SyncSink {
  private let path: String
  /// Has the lock.
  private let root: OpenFile
  /// The directory while this sink may write to it, and its lock.
  private let writer: Mutex<DirectoryWriter?>

  /// Sockets, pipes and devices: left alone. Printable.
  public let skipped: [String]

  private init(path: String, root: OpenFile, scan: DirectoryScan, leftovers: [Leftover], seed: UInt64) {
    (self.path, self.root) = (path, root)
    skipped = scan.skipped.map { printable($0) }
    let tree = Beneath(root: root, name: path)
    writer = Mutex(DirectoryWriter(tree, scan.content, leftovers: leftovers, seed: seed))
  }

  /// Makes the directory if there is none, locks it, scans it, and looks what is there of the unfinished
  /// files of an interrupted pull; those that are of no use are removed.
  ///
  /// - Parameter random: makes the temporary names of two runs differ.
  /// - Throws: `AdapterError`; `.refused` while another pull writes to the directory.
  public static func open(
    _ path: String, meter: ScanMeter = ScanMeter(), random: UInt64 = .random(in: 0 ... .max)
  ) async throws -> DirectorySink {
    let root = try await AdapterThreads.run { () throws(AdapterError) in try lock(path) }
    let scan = try await DirectoryScan.run(path, meter: meter)
    let leftovers = try await AdapterThreads.run { () throws(AdapterError) in
      let tree = Beneath(root: root, name: path)
      // An unfinished file belongs to one entry, and none is the journal: else one is removed that another needs.
      var used = Set(PullJournal.names)
      let leftovers = try PullJournal(tree).read().compactMap { Leftover($0, in: tree) }.filter {
        used.insert($0.temporaryPath).inserted
      }
      for name in scan.unfinished where !used.contains(name) {
        let (parent, last) = try tree.parent(of: name)
        guard withCString(last, { unlinkat(parent.descriptor, $0, 0) }) == 0 || errno == ENOENT else {
          throw .system("remove", path: tree.display(name))
        }
      }
      return leftovers
    }
    return DirectorySink(path: path, root: root, scan: scan, leftovers: leftovers, seed: random)
  }

  private static func lock(_ path: String) throws(AdapterError) -> OpenFile {
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw .system("mkdir", path: path) }
    let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", path: path) }
    let root = OpenFile(owning: descriptor)
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      guard errno == EWOULDBLOCK else { throw .system("lock", path: path) }
      throw AdapterError(.refused, path: path, "another pull writes to it; wait until it is over")
    }
    return root
  }

  /// Gives the directory back: the lock is let go, and unfinished files are removed.
  ///
  /// - Parameter keepingUnfinished: leaves those to the next pull.
  public func close(keepingUnfinished: Bool = false) async {
    await AdapterThreads.run {
      self.writer.withLock { writer in
        writer?.keepsUnfinished = keepingUnfinished
        writer = nil
      }
      // Not with the descriptor: a thread that is done with it may not have let it go yet.
      flock(self.root.descriptor, LOCK_UN)
    }
  }

  /// What the directory holds. A session that broke off leaves what it had completed.
  public func content() async throws -> any SyncContent {
    try await AdapterThreads.run { () throws in try self.withWriter { try $0.resume() } }
  }

  public func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws {
    try await AdapterThreads.run { () throws in
      try self.withWriter { writer in
        let bytes = run.operations.bytes.span
        for operation in run.operations {
          let key = bytes.extracting(operation.key)
          switch operation.kind {
          case .put: try writer.put(key, bytes.extracting(operation.value))
          case .delete: try writer.delete(key)
          }
        }
      }
    }
    done(.success(AppliedRun()))
  }

  public func seal() async throws -> any SyncContent {
    try await AdapterThreads.run { () throws in try self.withWriter { try $0.settle() } }
  }

  /// Files and links written or removed so far; files and links that are there; bytes of all files.
  public func summary() async throws -> (changed: Int, files: Int, fileBytes: UInt64) {
    try await AdapterThreads.run { () throws in
      try self.withWriter { writer in
        let content = writer.model.content
        let bytes = content.entries.reduce(UInt64(0)) { $0 + ($1.file?.size ?? 0) }
        return (writer.changedFiles.count, content.files, bytes)
      }
    }
  }

  /// Pieces that came and belong to no file there: of a push that is under way or ended early.
  public var strays: Int {
    get async throws {
      try await AdapterThreads.run { () throws in try self.withWriter { $0.strays.records.count } }
    }
  }

  private func withWriter<Value: Sendable>(_ body: (DirectoryWriter) throws -> Value) throws -> Value {
    try writer.withLock { writer in
      guard let writer else { throw AdapterError(.io, path: path, "is closed") }
      return try body(writer)
    }
  }
}
