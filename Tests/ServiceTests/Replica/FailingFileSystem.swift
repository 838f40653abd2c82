import StreamDiffStorage
import Synchronization

/// The machine's file system, whose syncs of log records fail once told to.
final class FailingFileSystem: FileSystem {
  private let real = PosixFileSystem()
  private let failure: FailureSwitch

  init(_ failure: FailureSwitch) { self.failure = failure }

  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    FailingFile(try real.open(path, mode), failure)
  }
  func createDirectory(_ path: String) throws(StorageError) { try real.createDirectory(path) }
  func list(_ directory: String) throws(StorageError) -> [String] { try real.list(directory) }
  func rename(_ old: String, to new: String) throws(StorageError) { try real.rename(old, to: new) }
  func remove(_ path: String) throws(StorageError) { try real.remove(path) }
  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {
    try real.syncDirectory(path, point)
  }
  func lock(_ path: String) throws(StorageError) -> any FileLock { try real.lock(path) }
  func space(at path: String) throws(StorageError) -> DiskSpace { try real.space(at: path) }
}

final class FailureSwitch: Sendable {
  private let isOn = Atomic<Bool>(false)
  func turnOn() { isOn.store(true, ordering: .releasing) }
  var on: Bool { isOn.load(ordering: .acquiring) }
}

private final class FailingFile: File {
  private let real: any File
  private let failure: FailureSwitch

  init(_ real: any File, _ failure: FailureSwitch) { (self.real, self.failure) = (real, failure) }

  var path: String { real.path }
  func size() throws(StorageError) -> UInt64 { try real.size() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
    try real.read(into: buffer, at: offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
    try real.write(bytes, at: offset)
  }
  func allocate(_ bytes: UInt64) throws(StorageError) { try real.allocate(bytes) }
  func sync(_ point: SyncPoint) throws(StorageError) {
    if failure.on, point == .logRecord { throw StorageError(.io, path: path, "sync: Input/output error") }
    try real.sync(point)
  }
}
