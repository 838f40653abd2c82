/// Records in bytewise order of their keys: a value, which a snapshot simply keeps.
struct MemoryTable: Sendable {
  /// One change of a batch; `nil`: the record goes.
  typealias Change = (key: [UInt8], value: [UInt8]?)

  private(set) var records: [(key: [UInt8], value: [UInt8])] = []

  /// The index of the first record at or behind `key`.
  func index(of key: [UInt8]) -> Int {
    var (low, high) = (0, records.count)
    while low < high {
      let middle = (low + high) / 2
      if Self.precedes(records[middle].key, key) { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func value(of key: [UInt8]) -> [UInt8]? {
    let index = index(of: key)
    guard index < records.count, records[index].key == key else { return nil }
    return records[index].value
  }

  /// Of two changes of one key the later counts.
  mutating func apply(_ batch: [Change]) {
    var last: [[UInt8]: [UInt8]?] = [:]
    for change in batch { last[change.key] = .some(change.value) }
    let changes = last.sorted { Self.precedes($0.key, $1.key) }
    var merged: [(key: [UInt8], value: [UInt8])] = []
    merged.reserveCapacity(records.count + changes.count)
    var next = 0
    for (key, value) in changes {
      while next < records.count, Self.precedes(records[next].key, key) {
        merged.append(records[next])
        next += 1
      }
      if next < records.count, records[next].key == key { next += 1 }
      if let value { merged.append((key, value)) }
    }
    merged.append(contentsOf: records[next...])
    records = merged
  }

  static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool { left.lexicographicallyPrecedes(right) }
}
