public import StreamDiffCore

/// Reads digest records of one keyspace, from a frozen state or from the batch under construction on
/// top of the store. Make one where it is needed: it holds files of the state while it lives.
public final class DigestCursor {
  private let iterator: any EngineIterator
  private let keyspace: UInt32
  private let path: String
  private var key: StoreKeyBuffer
  /// Sorted; empty for a frozen state.
  private let overlay: [(key: [UInt8], record: StoredDigest?)]

  init(
    _ iterator: any EngineIterator, keyspace: UInt32, path: String,
    overlay: [(key: [UInt8], record: StoredDigest?)] = []
  ) {
    self.iterator = iterator
    self.keyspace = keyspace
    self.path = path
    self.overlay = overlay
    key = StoreKeyBuffer(.digests, keyspace)
  }

  /// Calls `body` for each record with `lower <= key < upper`, in key order, until it returns false.
  func forEach(
    from lower: [UInt8], to upper: [UInt8]?, _ body: (UnsafeRawBufferPointer, StoredDigest) -> Bool
  ) throws(StorageError) {
    lower.withBytes { key.with($0) { iterator.seek($0) } }
    var change = overlay.partitioningIndex { !KeyComparison.precedes($0.key, lower) }
    while true {
      let stored = try current(below: upper)
      var changed = change < overlay.count ? overlay[change] : nil
      if let upper, let found = changed, !KeyComparison.precedes(found.key, upper) { changed = nil }
      guard let changed else {
        guard let stored else { return }
        guard body(stored.key, stored.record) else { return }
        iterator.next()
        continue
      }
      let order =
        stored.map { stored in changed.key.withBytes { KeyComparison.compare(stored.key, $0) } } ?? 1
      if order < 0, let stored {
        guard body(stored.key, stored.record) else { return }
        iterator.next()
        continue
      }
      if let record = changed.record {
        guard changed.key.withBytes({ body($0, record) }) else { return }
      }
      change += 1
      if order == 0 { iterator.next() }
    }
  }

  /// The iterator's record, unless it lies outside.
  private func current(
    below upper: [UInt8]?
  ) throws(StorageError) -> (key: UnsafeRawBufferPointer, record: StoredDigest)? {
    guard iterator.isValid else {
      try iterator.check()
      return nil
    }
    guard let found = iterator.key.withinArea(.digests, keyspace) else { return nil }
    if let upper, upper.withBytes({ KeyComparison.compare(found, $0) }) >= 0 { return nil }
    guard let record = StoredDigest(iterator.value) else {
      throw StorageError(.damaged, path: path, "digest record of \(iterator.value.count) bytes")
    }
    return (found, record)
  }
}

extension DigestCursor: DigestReader {
  public func disagreement(from lower: [UInt8]) -> StorageError {
    StorageError(
      .damaged, path: path,
      "a Merkle leaf does not agree with the digest records that it covers; check this state, restore it from "
        + "another copy")
  }

  public func forEachRecord(
    from lower: [UInt8], to upper: [UInt8]?,
    _ body: (_ key: Span<UInt8>, _ digest: Digest, _ valueBytes: Int) -> Void
  ) throws(StorageError) {
    try forEach(from: lower, to: upper) { key, record in
      key.withSpan { body($0, record.digest, record.valueBytes) }
      return true
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The key proper, if this store key lies in that area of that keyspace.
  func withinArea(_ area: StoreKey.Area, _ keyspace: UInt32) -> UnsafeRawBufferPointer? {
    guard count >= StoreKey.prefixBytes, self[0] == area.rawValue,
      loadUnaligned(fromByteOffset: 1, as: UInt32.self) == keyspace.bigEndian
    else { return nil }
    return UnsafeRawBufferPointer(rebasing: self[StoreKey.prefixBytes...])
  }

  /// Lends the bytes as a span.
  func withSpan<R>(_ body: (Span<UInt8>) -> R) -> R {
    withMemoryRebound(to: UInt8.self) { body($0.span) }
  }
}
