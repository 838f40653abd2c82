import CRocksDB

/// The database as it was at one moment.
final class DatabaseSnapshot: @unchecked Sendable {  // constant; RocksDB releases it on any thread
  let database: Database
  private let handle: OpaquePointer
  /// Reads at the snapshot.
  let readOptions: OpaquePointer

  init(of database: Database) {
    self.database = database
    handle = rocksdb_create_snapshot(database.handle)
    readOptions = rocksdb_readoptions_create()
    rocksdb_readoptions_set_snapshot(readOptions, handle)
  }

  deinit {
    rocksdb_readoptions_destroy(readOptions)
    rocksdb_release_snapshot(database.handle, handle)
  }
}

/// Walks records in key order. Used by one thread, and not kept while anything is waited for.
final class DatabaseIterator {
  private let database: Database
  private let snapshot: DatabaseSnapshot?
  private let handle: OpaquePointer

  /// At a snapshot, or at what the database holds when the iterator is made.
  init(_ database: Database, at snapshot: DatabaseSnapshot? = nil) {
    self.database = database
    self.snapshot = snapshot
    handle = rocksdb_create_iterator(database.handle, snapshot?.readOptions ?? database.readOptions)
  }

  deinit { rocksdb_iter_destroy(handle) }

  /// Moves to the first record at or behind `key`.
  func seek(_ key: UnsafeRawBufferPointer) {
    rocksdb_iter_seek(handle, key.baseAddress?.assumingMemoryBound(to: CChar.self), key.count)
  }

  func next() { rocksdb_iter_next(handle) }

  /// Whether there is a record. When there is none, `check` tells the end from a failed read.
  var isValid: Bool { rocksdb_iter_valid(handle) != 0 }

  func check() throws(StorageError) {
    try Database.check(database.path) { rocksdb_iter_get_error(handle, $0) }
  }

  /// Of the current record; void after the next move.
  var key: UnsafeRawBufferPointer {
    var count = 0
    let start = rocksdb_iter_key(handle, &count)
    return UnsafeRawBufferPointer(start: start, count: count)
  }

  /// Of the current record; void after the next move.
  var value: UnsafeRawBufferPointer {
    var count = 0
    let start = rocksdb_iter_value(handle, &count)
    return UnsafeRawBufferPointer(start: start, count: count)
  }
}
