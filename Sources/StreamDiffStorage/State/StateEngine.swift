/// The ordered map of bytes under the state. In production that is RocksDB; in tests also one in memory
/// that loses and refuses what it is told to. One contract suite holds both to what stands here.
///
/// - A batch is written whole: no read, and no crash, shows a part of it.
/// - A crash, of the process or of the machine, loses a suffix of the batches written since the last
///   flush that returned; nothing before it.
/// - A write or a flush that fails is final: later ones fail, and what was not flushed may be lost.
/// - Snapshots and iterators hold the engine: it closes, and its lock goes, with the last of them.
///
/// Batches are written by one thread at a time; everything else may come from any thread.
public protocol StateEngine: AnyObject, Sendable {
  /// The directory, for errors to name.
  var path: String { get }
  /// Reads of the latest batch, whatever comes meanwhile.
  var latest: any EngineReads { get }
  /// The same, as far as memory holds what they need; `.notCached` where it does not.
  var cached: any EngineReads { get }
  /// Reads of the state as it is now, whatever comes later.
  func snapshot() -> any EngineReads
  func makeBatch() -> any EngineBatch
  /// - Parameter batch: made by this engine.
  func write(_ batch: any EngineBatch, _ point: ChangePoint) throws(StorageError)
  /// Puts everything written so far on disk, and waits for it.
  func flush(_ point: SyncPoint) throws(StorageError)
}

/// What an engine holds, at some moment.
public protocol EngineReads: Sendable {
  /// The directory, for errors to name.
  var path: String { get }
  /// Reads one record and lends its value.
  /// - Returns: whether there is one; if not, `body` was not called.
  func read(
    _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) -> Bool
  func iterator() -> any EngineIterator
}

/// Walks records in bytewise order of their keys. Used by one thread, and not kept while anything is
/// waited for.
public protocol EngineIterator: AnyObject {
  /// Moves to the first record at or behind `key`.
  func seek(_ key: UnsafeRawBufferPointer)
  /// Moves on from a record.
  func next()
  /// Whether there is a record. When there is none, `check` tells the end from a failed read.
  var isValid: Bool { get }
  func check() throws(StorageError)
  /// Of the current record; void after the next move.
  var key: UnsafeRawBufferPointer { get }
  /// Of the current record; void after the next move.
  var value: UnsafeRawBufferPointer { get }
}

/// Changes that become visible, and later durable, together. Of two on one key the later counts.
public protocol EngineBatch: AnyObject {
  /// Bytes as they will be written, about.
  var byteCount: Int { get }
  /// The value comes in two parts.
  func put(_ key: UnsafeRawBufferPointer, _ head: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer)
  func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
  func delete(_ key: UnsafeRawBufferPointer)
}

extension EngineReads {
  /// - Returns: what `body` made of the value; `nil` when there is no record.
  func get<R>(
    _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> R
  ) throws(StorageError) -> R? {
    var result: R?
    _ = try read(key) { (value) throws(StorageError) in result = try body(value) }
    return result
  }
}

extension EngineBatch {
  package func put(_ key: [UInt8], _ value: [UInt8]) {
    key.withBytes { key in value.withBytes { put(key, $0) } }
  }

  package func delete(_ key: [UInt8]) { key.withBytes { delete($0) } }
}
