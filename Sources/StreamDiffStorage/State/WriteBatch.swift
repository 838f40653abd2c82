import CRocksDB

final class WriteBatch: EngineBatch {
  let handle: OpaquePointer = rocksdb_writebatch_create()

  deinit { rocksdb_writebatch_destroy(handle) }

  var byteCount: Int {
    var size = 0
    _ = rocksdb_writebatch_data(handle, &size)
    return size
  }

  func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    rocksdb_writebatch_put(handle, key.characters, key.count, value.characters, value.count)
  }

  func put(_ key: UnsafeRawBufferPointer, _ head: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) {
    var (keyStart, keySize) = (key.characters, key.count)
    withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: 2) { parts in
      withUnsafeTemporaryAllocation(of: Int.self, capacity: 2) { sizes in
        (parts[0], sizes[0]) = (head.characters, head.count)
        (parts[1], sizes[1]) = (rest.characters, rest.count)
        rocksdb_writebatch_putv(handle, 1, &keyStart, &keySize, 2, parts.baseAddress, sizes.baseAddress)
      }
    }
  }

  func delete(_ key: UnsafeRawBufferPointer) {
    rocksdb_writebatch_delete(handle, key.characters, key.count)
  }
}

extension UnsafeRawBufferPointer {
  var characters: UnsafePointer<CChar>? { baseAddress?.assumingMemoryBound(to: CChar.self) }
}
