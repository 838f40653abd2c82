import CRocksDB

/// RocksDB as the state uses it: one column family, no write-ahead log of its own (the replica's log is
/// one), every flush an atomic prefix of the batches written.
///
/// Debian's build asserts that no iterator or snapshot outlives the database: both hold this object, and
/// it closes when the last of them goes. All calls may come from any thread.
// RocksDB locks inside; all our fields are constant.
package final class Database: StateEngine, @unchecked Sendable {
  package struct Configuration: Sendable {
    package var writeBufferBytes: Int
    package var cacheBytes: Int
    /// As the measurements below chose; tests may choose otherwise.
    package var compresses = true

    package init(writeBufferBytes: Int, cacheBytes: Int, compresses: Bool = true) {
      self.writeBufferBytes = writeBufferBytes
      self.cacheBytes = cacheBytes
      self.compresses = compresses
    }
  }

  package let path: String
  let handle: OpaquePointer
  private let options: OpaquePointer
  private let writeOptions: OpaquePointer
  private let readOptions: OpaquePointer
  private let cachedReadOptions: OpaquePointer

  package enum Opening: Sendable {
    /// Makes one where none is.
    case creating
    /// RocksDB removes what it takes for leftovers: only after all was looked at that may speak against it.
    case existing
    /// Looks, and changes no byte. The caller holds a lock: RocksDB takes none.
    case readOnly
  }

  package init(
    opening path: String, _ configuration: Configuration, _ opening: Opening = .creating
  ) throws(StorageError) {
    self.path = path
    let options = try Self.options(configuration, path)
    self.options = options
    rocksdb_options_set_create_if_missing(options, opening == .creating ? 1 : 0)
    do throws(StorageError) {
      handle = try Self.check(path) { message in
        opening == .readOnly
          ? rocksdb_open_for_read_only(options, path, 0, message) : rocksdb_open(options, path, message)
      }.unwrapped(path)
    } catch {
      rocksdb_options_destroy(options)
      throw opening == .creating ? error : error.namingMissingFile
    }
    writeOptions = rocksdb_writeoptions_create()
    rocksdb_writeoptions_disable_WAL(writeOptions, 1)
    rocksdb_writeoptions_set_memtable_insert_hint_per_batch(writeOptions, 1)
    readOptions = rocksdb_readoptions_create()
    cachedReadOptions = rocksdb_readoptions_create()
    rocksdb_readoptions_set_read_tier(cachedReadOptions, Self.blockCacheTier)
  }

  deinit {
    rocksdb_readoptions_destroy(cachedReadOptions)
    rocksdb_readoptions_destroy(readOptions)
    rocksdb_writeoptions_destroy(writeOptions)
    rocksdb_close(handle)
    rocksdb_options_destroy(options)
  }

  /// `kBlockCacheTier` of `rocksdb::ReadTier`.
  private static let blockCacheTier: CInt = 1

  private static func options(
    _ configuration: Configuration, _ path: String
  ) throws(StorageError) -> OpaquePointer {
    let defaults: OpaquePointer = rocksdb_options_create()
    defer { rocksdb_options_destroy(defaults) }
    let options: OpaquePointer = rocksdb_options_create()
    // A flush that failed is final: not tried again behind our back, and not on the way out either.
    do throws(StorageError) {
      try check(path) {
        rocksdb_get_options_from_string(
          defaults, "max_bgerror_resume_count=0;avoid_flush_during_shutdown=true", options, $0)
      }
    } catch {
      rocksdb_options_destroy(options)
      throw error
    }
    rocksdb_options_set_write_buffer_size(options, configuration.writeBufferBytes)
    // One is written while the other goes to disk.
    rocksdb_options_set_max_write_buffer_number(options, 2)
    // Blocks large enough that malloc maps them: a buffer that was written leaves no holes behind in the heap.
    rocksdb_options_set_arena_block_size(options, min(8 << 20, configuration.writeBufferBytes / 8))
    rocksdb_options_set_max_background_jobs(options, 2)
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1)
    rocksdb_options_set_bytes_per_sync(options, 1 << 20)
    rocksdb_options_set_max_open_files(options, 512)
    setCompression(of: options, compresses: configuration.compresses)
    // Whether a key is absent is asked for each put that expects it: no search of the write buffer for that.
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.02)
    rocksdb_options_set_memtable_whole_key_filtering(options, 1)
    // Its diary, not ours.
    rocksdb_options_set_info_log_level(options, 2)
    rocksdb_options_set_keep_log_file_num(options, 2)
    rocksdb_options_set_max_log_file_size(options, 1 << 20)
    rocksdb_options_set_stats_dump_period_sec(options, 0)
    rocksdb_options_set_stats_persist_period_sec(options, 0)

    let table: OpaquePointer = rocksdb_block_based_options_create()
    // Few shards: a block larger than a shard is never kept, and would be read again by every get.
    let cacheOptions: OpaquePointer = rocksdb_lru_cache_options_create()
    defer { rocksdb_lru_cache_options_destroy(cacheOptions) }
    rocksdb_lru_cache_options_set_capacity(cacheOptions, configuration.cacheBytes)
    rocksdb_lru_cache_options_set_num_shard_bits(cacheOptions, 3)
    let cache: OpaquePointer = rocksdb_cache_create_lru_opts(cacheOptions)
    rocksdb_block_based_options_set_block_cache(table, cache)
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1)
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1)
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1)
    // Filters and indexes in parts: those of a file of a million keys are larger than what is asked of them.
    rocksdb_block_based_options_set_index_type(
      table, Int32(rocksdb_block_based_table_index_type_two_level_index_search))
    rocksdb_block_based_options_set_partition_filters(table, 1)
    rocksdb_block_based_options_set_metadata_block_size(table, 16 << 10)
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1)
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10))
    rocksdb_block_based_options_set_format_version(table, 5)
    rocksdb_block_based_options_set_data_block_index_type(
      table, CInt(rocksdb_block_based_table_data_block_index_type_binary_search_and_hash))
    rocksdb_block_based_options_set_data_block_hash_ratio(table, 0.75)
    rocksdb_options_set_block_based_table_factory(options, table)
    rocksdb_cache_destroy(cache)  // the table options keep it
    rocksdb_block_based_options_destroy(table)
    return options
  }

  /// A flush, which writers may have to wait for, writes as it is; what compaction then keeps is LZ4.
  /// Measured, LZ4 to none: 122 MB of JSON and Python in 64 KiB values take 32 and 122 MB, a flush of them
  /// 0.40 and 0.12 s; 500 000 entries of 100 bytes take 40 and 79 MB; reads cost the same, since the
  /// cache holds plain blocks.
  private static func setCompression(of options: OpaquePointer, compresses: Bool) {
    let lz4 = CInt(compresses ? rocksdb_lz4_compression : rocksdb_no_compression)
    let levels = [CInt(rocksdb_no_compression)] + [CInt](repeating: lz4, count: 6)
    rocksdb_options_set_compression_per_level(options, levels, levels.count)
  }

  // MARK: Calls

  package var latest: any EngineReads { DatabaseReads(self, readOptions) }
  package var cached: any EngineReads { DatabaseReads(self, cachedReadOptions) }
  package func snapshot() -> any EngineReads { DatabaseReads(self, at: DatabaseSnapshot(of: self)) }
  package func makeBatch() -> any EngineBatch { WriteBatch() }

  package func write(_ batch: any EngineBatch, _ point: ChangePoint) throws(StorageError) {
    guard let batch = batch as? WriteBatch else { preconditionFailure("a batch of another engine") }
    try named(point.rawValue) { rocksdb_write(handle, writeOptions, batch.handle, $0) }
  }

  package func flush(_ point: SyncPoint) throws(StorageError) {
    let options: OpaquePointer = rocksdb_flushoptions_create()
    defer { rocksdb_flushoptions_destroy(options) }
    try named(point.rawValue) { rocksdb_flush(handle, options, $0) }
  }

  /// Its messages say what failed, not in which call of ours.
  private func named(
    _ call: String, _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Void
  ) throws(StorageError) {
    do throws(StorageError) {
      try Self.check(path, body)
    } catch {
      throw StorageError(error.code, path: path, "\(call): \(error.detail)")
    }
  }

  /// The files that hold the records, as the database knows them.
  var liveFiles: [(name: String, bytes: UInt64)] {
    let files = rocksdb_livefiles(handle)
    defer { rocksdb_livefiles_destroy(files) }
    return (0..<rocksdb_livefiles_count(files)).compactMap { index in
      // RocksDB gives the name with a slash in front.
      rocksdb_livefiles_name(files, index).map {
        (String(String(cString: $0).drop { $0 == "/" }), UInt64(rocksdb_livefiles_size(files, index)))
      }
    }
  }

  /// Runs a call that reports failure through its last argument.
  @discardableResult
  static func check<R>(
    _ path: String, _ call: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R
  ) throws(StorageError) -> R {
    var message: UnsafeMutablePointer<CChar>?
    let result = call(&message)
    guard let message else { return result }
    defer { rocksdb_free(message) }
    throw StorageError(rocksDB: String(cString: message), path: path)
  }
}

extension Optional where Wrapped == OpaquePointer {
  fileprivate func unwrapped(_ path: String) throws(StorageError) -> OpaquePointer {
    guard let self else { throw StorageError(.io, path: path, "RocksDB gave neither result nor error") }
    return self
  }
}

extension StorageError {
  /// Of a database that should be there whole. Of a table that is missing RocksDB gives the name that it
  /// tried last, an older one.
  fileprivate var namingMissingFile: StorageError {
    let words = detail.split(separator: " ").map { $0.last == ":" ? $0.dropLast() : $0 }
    guard let path, detail.contains("No such file"),
      let word = words.first(where: { $0.hasPrefix(path + "/") })
    else { return self }
    let file = word.hasSuffix(".ldb") ? word.dropLast(3) + "sst" : word
    return StorageError(.damaged, path: String(file), "this file is missing: put it back")
  }

  /// RocksDB says what happened in words alone; these are `rocksdb::Status::ToString`'s.
  init(rocksDB message: String, path: String) {
    let code: Code
    if message.hasPrefix("Corruption") {
      code = .damaged
    } else if message.hasPrefix("Result incomplete") {
      code = .notCached
    } else if message.contains("No space left") {
      code = .noSpace
    } else if message.contains("While lock file") || message.contains("lock hold by") {
      code = .locked
    } else if ["Permission denied", "Read-only file system", "Not a directory"].contains(
      where: message.contains)
    {
      code = .unwritable
    } else {
      code = .io
    }
    self.init(code, path: path, "RocksDB: \(message)")
  }
}
