/// Every call that makes something durable, by name: tests fail each one and check that it was needed.
public enum SyncPoint: String, CaseIterable, Hashable, Sendable {
  /// A record of the log: nothing is acknowledged before it.
  case logRecord
  /// The header of a segment, before its rename makes it part of the log.
  case logSegmentHeader
  /// The record that ends a segment, after its successor exists.
  case logSegmentSeal
  /// The log directory, after a segment appeared in it or left it.
  case logDirectory
  /// The zeros over a torn tail, before anything is appended there.
  case logCut
  /// What a former process wrote and may not have synced, before it is trusted.
  case logRecovery
  /// The zeros of a spare segment.
  case logSpare
  /// A small file written whole, before its rename.
  case replacedFile
  /// The directory of a small file, after its rename.
  case replacedFileDirectory
  /// The directory in which another was created.
  case createdDirectory
  /// The state's files, before the log that they cover is dropped.
  case stateFlush
}

public enum FileMode: Hashable, Sendable {
  case read
  /// Read and write a file that exists.
  case write
  /// Read and write a new file; one that exists is an error.
  case create
  /// Read and write a file emptied first, or a new one.
  case replace
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
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
  /// Reserves the first `bytes` of the file on disk; what was not written reads as zeros.
  func allocate(_ bytes: UInt64) throws(StorageError)
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
  /// Creates a directory and those above it, durably; one that exists is fine.
  func createDirectory(_ path: String) throws(StorageError)
  /// Names in a directory, in any order, without "." and "..".
  func list(_ directory: String) throws(StorageError) -> [String]
  /// Atomic; replaces a file at `new`. Durable after `syncDirectory`.
  func rename(_ old: String, to new: String) throws(StorageError)
  func remove(_ path: String) throws(StorageError)
  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError)
  /// Takes the lock at `path`, creating the file. Fails at once with `.locked` when another holds it.
  func lock(_ path: String) throws(StorageError) -> any FileLock
  func space(at path: String) throws(StorageError) -> DiskSpace
}

extension FileSystem {
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

  /// Writes a small file so that, whenever the machine stops, it is there whole, old or new.
  public func replaceFile(_ path: String, with bytes: [UInt8]) throws(StorageError) {
    let temporary = path + ".new"
    let file = try open(temporary, .replace)
    try bytes.withBytes { (buffer) throws(StorageError) in try file.write(buffer, at: 0) }
    try file.sync(.replacedFile)
    try rename(temporary, to: path)
    let directory = path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[..<$0]) } ?? "."
    try syncDirectory(directory.isEmpty ? "/" : directory, .replacedFileDirectory)
  }
}
