import CRocksDB

/// Changes that become visible, and later durable, together.
final class WriteBatch {
  let handle: OpaquePointer = rocksdb_writebatch_create()

  deinit { rocksdb_writebatch_destroy(handle) }

  /// Bytes as they will be written.
  var byteCount: Int {
    var size = 0
    _ = rocksdb_writebatch_data(handle, &size)
    return size
  }

  func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    rocksdb_writebatch_put(handle, key.characters, key.count, value.characters, value.count)
  }

  func delete(_ key: UnsafeRawBufferPointer) {
    rocksdb_writebatch_delete(handle, key.characters, key.count)
  }

  func put(_ key: [UInt8], _ value: [UInt8]) {
    key.withBytes { key in value.withBytes { put(key, $0) } }
  }

  func delete(_ key: [UInt8]) { key.withBytes { delete($0) } }
}

extension UnsafeRawBufferPointer {
  fileprivate var characters: UnsafePointer<CChar>? { baseAddress?.assumingMemoryBound(to: CChar.self) }
}
