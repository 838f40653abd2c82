import CRocksDB

/// The database as it was at one moment.
final class DatabaseSnapshot: @unchecked Sendable {  // constant; RocksDB releases it on any thread
  private let database: Database
  private let handle: OpaquePointer
  /// Reads of single records at the snapshot.
  let readOptions: OpaquePointer
  /// The same in passing: what is read once leaves the cache to what is asked for again.
  let scanOptions: OpaquePointer

  init(of database: Database) {
    self.database = database
    handle = rocksdb_create_snapshot(database.handle)
    readOptions = rocksdb_readoptions_create()
    rocksdb_readoptions_set_snapshot(readOptions, handle)
    scanOptions = rocksdb_readoptions_create()
    rocksdb_readoptions_set_snapshot(scanOptions, handle)
    rocksdb_readoptions_set_fill_cache(scanOptions, 0)
  }

  deinit {
    rocksdb_readoptions_destroy(scanOptions)
    rocksdb_readoptions_destroy(readOptions)
    rocksdb_release_snapshot(database.handle, handle)
  }
}

/// Reads with one set of options, which the database or the snapshot owns.
struct DatabaseReads: EngineReads, @unchecked Sendable {  // constant; RocksDB locks inside
  private let database: Database
  private let options: OpaquePointer
  private let snapshot: DatabaseSnapshot?

  init(_ database: Database, _ options: OpaquePointer) {
    (self.database, self.options, snapshot) = (database, options, nil)
  }

  init(_ database: Database, at snapshot: DatabaseSnapshot) {
    (self.database, options, self.snapshot) = (database, snapshot.readOptions, snapshot)
  }

  var path: String { database.path }

  func read(
    _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) -> Bool {
    let slice = try Database.check(path) {
      rocksdb_get_pinned(database.handle, options, key.characters, key.count, $0)
    }
    guard let slice else { return false }
    defer { rocksdb_pinnableslice_destroy(slice) }
    var count = 0
    let value = rocksdb_pinnableslice_value(slice, &count)
    try body(UnsafeRawBufferPointer(start: value, count: count))
    return true
  }

  func iterator() -> any EngineIterator {
    DatabaseIterator(database, snapshot?.scanOptions ?? options, snapshot)
  }
}

final class DatabaseIterator: EngineIterator {
  private let database: Database
  private let snapshot: DatabaseSnapshot?
  private let handle: OpaquePointer

  init(_ database: Database, _ options: OpaquePointer, _ snapshot: DatabaseSnapshot?) {
    self.database = database
    self.snapshot = snapshot
    handle = rocksdb_create_iterator(database.handle, options)
  }

  deinit { rocksdb_iter_destroy(handle) }

  func seek(_ key: UnsafeRawBufferPointer) { rocksdb_iter_seek(handle, key.characters, key.count) }

  func next() { rocksdb_iter_next(handle) }

  var isValid: Bool { rocksdb_iter_valid(handle) != 0 }

  func check() throws(StorageError) {
    try Database.check(database.path) { rocksdb_iter_get_error(handle, $0) }
  }

  var key: UnsafeRawBufferPointer {
    var count = 0
    let start = rocksdb_iter_key(handle, &count)
    return UnsafeRawBufferPointer(start: start, count: count)
  }

  var value: UnsafeRawBufferPointer {
    var count = 0
    let start = rocksdb_iter_value(handle, &count)
    return UnsafeRawBufferPointer(start: start, count: count)
  }
}
