/// Every call that makes something durable, by name. Each stands at one place in the sources: a test
/// removes each in turn and sees that something is then lost, and fails each and sees that all ends there.
public enum SyncPoint: String, CaseIterable, Hashable, Sendable {
  /// A record of the log: nothing is acknowledged before it.
  case logRecord
  /// The header of a segment, before its rename makes it part of the log.
  case logSegmentHeader
  /// The log directory, after a segment appeared in it: nothing is written there before.
  case logSegmentAppeared
  /// The record that ends a segment, after its successor exists: from then on a missing one is noticed.
  case logSegmentSeal
  /// The log directory, after a segment left it, before its file begins another life.
  case logSegmentDropped
  /// The names in the log directory that a former process may not have synced, before they are trusted.
  case recoveredDirectory
  /// What a former process wrote to the end of the log and may not have synced, and zeros over what it left
  /// torn, before anything is built on it.
  case recoveredSegment
  /// The zeros of a spare segment, so that the sync of no record or header waits for them.
  case logSpare
  /// A small file written whole, before its rename.
  case replacedFile
  /// The directory of a small file, after its rename.
  case replacedFileDirectory
  /// The directory that holds one which is needed, whoever created it.
  case createdDirectory
  /// The state's files, before the log that they cover is dropped.
  case stateFlush
}

/// Every call that changes files, by name, one place each: tests refuse each one, for want of space too.
public enum ChangePoint: String, CaseIterable, Hashable, Sendable {
  case logRecordWrite
  case logSegmentHeaderWrite
  case logSegmentAppear
  case logSegmentSealWrite
  case logSegmentRecycle
  case logSegmentRemove
  /// A segment for which no spare was ready.
  case logSegmentCreate
  case logSegmentAllocate
  /// The end of the log, as it is after what was torn is cut.
  case recoveredSegmentWrite
  case spareCreate
  case spareFill
  case spareAppear
  /// A spare that was not finished.
  case spareAbandon
  /// What a former process left and nobody can use.
  case spareLeftover
  case replacedFileCreate
  case replacedFileWrite
  case replacedFileRename
  /// A batch of the state.
  case stateBatch
  /// The record of a new state's format.
  case stateFormat
}

public enum FileMode: Hashable, Sendable {
  case read
  /// Read and write a file that exists.
  case write
  /// Read and write a file emptied first, or a new one.
  case replace(ChangePoint)
}

/// An open file. Closed when the last reference goes.
///
/// Offsets and sizes are bytes. Calls on different ranges may run on different threads.
public protocol File: AnyObject, Sendable {
  var path: String { get }
  func size() throws(StorageError) -> UInt64
  /// Fills `buffer` from `offset`, as far as the file goes.
  /// - Returns: the bytes read: fewer than asked only at the end of the file.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int
  /// Writes all of `bytes`. Durable only after `sync`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ point: ChangePoint) throws(StorageError)
  /// Reserves the first `bytes` of the file on disk; what was not written reads as zeros.
  func allocate(_ bytes: UInt64, _ point: ChangePoint) throws(StorageError)
  /// Makes all earlier writes durable. A failure is final: what was written before it may be lost.
  func sync(_ point: SyncPoint) throws(StorageError)
}

/// Keeps others out of a directory until the last reference goes.
public protocol FileLock: AnyObject, Sendable {}

/// Bytes of the file system that holds a path.
public struct DiskSpace: Hashable, Sendable {
  public var total: UInt64
  /// What an unprivileged process may still use.
  public var available: UInt64

  public init(total: UInt64, available: UInt64) {
    self.total = total
    self.available = available
  }
}

/// Files as Storage uses them: every durable call of ours goes through one of these, so that a test
/// can lose what was not synced, tear what was under way and refuse what it likes.
public protocol FileSystem: Sendable {
  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File
  /// Creates one directory; one that exists is fine. Durable after `syncDirectory` of the one above.
  func makeDirectory(_ path: String) throws(StorageError)
  /// Names in a directory, in any order, without "." and "..".
  func list(_ directory: String) throws(StorageError) -> [String]
  /// Atomic; replaces a file at `new`. Durable after `syncDirectory`.
  func rename(_ old: String, to new: String, _ point: ChangePoint) throws(StorageError)
  /// What a link leads to, be it there or not; what is no link is its own target.
  func target(of path: String) throws(StorageError) -> String
  /// Gives `path` the mode, and as far as the system lets us the owner, of what is to be replaced by it.
  func copyPermissions(of old: String, to path: String) throws(StorageError)
  func remove(_ path: String, _ point: ChangePoint) throws(StorageError)
  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError)
  /// Takes the lock at `path`, creating the file. Fails at once with `.locked` when another holds it.
  func lock(_ path: String) throws(StorageError) -> any FileLock
  func space(at path: String) throws(StorageError) -> DiskSpace
}

extension FileSystem {
  /// Where there are no links.
  public func target(of path: String) throws(StorageError) -> String { path }

  /// Where there are no modes.
  public func copyPermissions(of old: String, to path: String) throws(StorageError) {}

  /// Creates a directory and those above it, durably; one that exists is fine.
  public func createDirectory(_ path: String) throws(StorageError) {
    var whole = path.hasPrefix("/") ? "" : "."
    let parts = path.split(separator: "/")
    for (index, part) in parts.enumerated() {
      let parent = whole.isEmpty ? "/" : whole
      whole += "/" + part
      try makeDirectory(whole)
      // Also where it was there: a process that created it may have been killed before it synced.
      do throws(StorageError) {
        try syncDirectory(parent, .createdDirectory)
      } catch  where error.code == .unwritable && index < parts.count - 1 {
        // A directory far above that we may not even open: not of our making.
      }
    }
  }

  /// As `list`, and empty where there is no directory.
  public func names(in directory: String) throws(StorageError) -> [String] {
    do throws(StorageError) {
      return try list(directory)
    } catch  where error.code == .notFound {
      return []
    }
  }

  /// Reads a small file whole.
  /// - Returns: `nil` when there is none. Longer than `limit` bytes: `.tooLarge`.
  public func readFile(_ path: String, limit: Int) throws(StorageError) -> [UInt8]? {
    let file: any File
    do {
      file = try open(path, .read)
    } catch  where error.code == .notFound {
      return nil
    }
    let size = try file.size()
    guard size <= limit else { throw StorageError(.tooLarge, path: path, "\(size) bytes, expected \(limit)") }
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let count = try bytes.withMutableBytes { (buffer) throws(StorageError) -> Int in
      try file.read(into: buffer, at: 0)
    }
    bytes.removeSubrange(count...)
    return bytes
  }

  /// Writes a small file so that, whenever the machine stops, it is there whole, old or new. A link stays, and its target
  /// is replaced; the mode stays.
  public func replaceFile(_ path: String, with bytes: [UInt8]) throws(StorageError) {
    let path = try target(of: path)
    let temporary = path + ".new"
    let file = try open(temporary, .replace(.replacedFileCreate))
    // Before there is anything in it that others may not read.
    try copyPermissions(of: path, to: temporary)
    try bytes.withBytes { (buffer) throws(StorageError) in try file.write(buffer, at: 0, .replacedFileWrite) }
    try file.sync(.replacedFile)
    try rename(temporary, to: path, .replacedFileRename)
    let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? "."
    try syncDirectory(directory.isEmpty ? "/" : directory, .replacedFileDirectory)
  }
}
