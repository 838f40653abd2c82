import StreamDiffCore

/// The digest records that a batch under construction changed: what reads of the batch see first. A hash
/// table over keys laid end to end; the hash is seeded, so that nobody prepares colliding keys.
struct DigestOverlay {
  private struct Item {
    var hash: Int
    var keyspace: UInt32
    var start: Int
    var length: Int
    /// `nil`: deleted.
    var record: StoredDigest?
  }

  /// What the batch did to a key.
  enum Change {
    case present(StoredDigest)
    case deleted
  }

  private var keys: [UInt8] = []
  private var items: [Item] = []
  /// Index into `items` plus one; 0 is free. A power of two, at most half full.
  private var slots = [Int32](repeating: 0, count: 256)

  func find(_ key: UnsafeRawBufferPointer, in keyspace: UInt32) -> Change? {
    guard !items.isEmpty else { return nil }
    let slot = slot(of: key, in: keyspace, hash: Self.hash(key, keyspace))
    guard slots[slot] > 0 else { return nil }
    return items[Int(slots[slot]) - 1].record.map { .present($0) } ?? .deleted
  }

  mutating func set(_ key: UnsafeRawBufferPointer, in keyspace: UInt32, to record: StoredDigest?) {
    if 2 * (items.count + 1) > slots.count { grow() }
    let hash = Self.hash(key, keyspace)
    let slot = slot(of: key, in: keyspace, hash: hash)
    if slots[slot] > 0 {
      items[Int(slots[slot]) - 1].record = record
    } else {
      items.append(
        Item(hash: hash, keyspace: keyspace, start: keys.count, length: key.count, record: record))
      keys.append(contentsOf: key)
      slots[slot] = Int32(items.count)
    }
  }

  var count: Int { items.count }

  /// Every changed key once, in the order of first change.
  func forEach(_ body: (_ key: UnsafeRawBufferPointer, _ keyspace: UInt32, _ record: StoredDigest?) -> Void) {
    keys.withBytes { keys in
      for item in items {
        let key = UnsafeRawBufferPointer(rebasing: keys[item.start..<item.start + item.length])
        body(key, item.keyspace, item.record)
      }
    }
  }

  /// The changed keys of a keyspace, sorted.
  func changes(in keyspace: UInt32) -> [(key: [UInt8], record: StoredDigest?)] {
    items.filter { $0.keyspace == keyspace }
      .map { (key: Array(keys[$0.start..<$0.start + $0.length]), record: $0.record) }
      .sorted { KeyComparison.precedes($0.key, $1.key) }
  }

  private static func hash(_ key: UnsafeRawBufferPointer, _ keyspace: UInt32) -> Int {
    var hasher = Hasher()
    hasher.combine(keyspace)
    hasher.combine(bytes: key)
    return hasher.finalize()
  }

  /// Where the key is, or the free slot where it would go.
  private func slot(of key: UnsafeRawBufferPointer, in keyspace: UInt32, hash: Int) -> Int {
    let mask = slots.count - 1
    var slot = hash & mask
    while slots[slot] > 0 {
      let item = items[Int(slots[slot]) - 1]
      if item.hash == hash, item.keyspace == keyspace, item.length == key.count, isEqual(item, key) { break }
      slot = (slot + 1) & mask
    }
    return slot
  }

  private func isEqual(_ item: Item, _ key: UnsafeRawBufferPointer) -> Bool {
    keys.withBytes {
      KeyComparison.isEqual(UnsafeRawBufferPointer(rebasing: $0[item.start..<item.start + item.length]), key)
    }
  }

  private mutating func grow() {
    slots = [Int32](repeating: 0, count: 2 * slots.count)
    let mask = slots.count - 1
    for (index, item) in items.enumerated() {
      var slot = item.hash & mask
      while slots[slot] > 0 { slot = (slot + 1) & mask }
      slots[slot] = Int32(index + 1)
    }
  }
}
