/// Keys from `lower` on and below `upper`; `nil` where there is no bound.
public struct KeyRange: Hashable, Sendable {
  public var lower: [UInt8]
  public var upper: [UInt8]?

  public init(from lower: [UInt8], to upper: [UInt8]?) {
    self.lower = lower
    self.upper = upper
  }

  public static let all = KeyRange(from: [], to: nil)

  public var isEmpty: Bool {
    guard let upper else { return false }
    return !KeyOrder.precedes(lower, upper)
  }

  public func contains(_ key: [UInt8]) -> Bool {
    !KeyOrder.precedes(key, lower) && (upper.map { KeyOrder.precedes(key, $0) } ?? true)
  }

  /// - Returns: whether `key` lies beyond.
  func ends(before key: [UInt8]) -> Bool { upper.map { !KeyOrder.precedes(key, $0) } ?? false }

  func overlaps(_ part: MerkleTree.Part) -> Bool {
    let startsInTime = upper.map { KeyOrder.precedes(part.lower, $0) } ?? true
    let endsLate = part.upper.map { KeyOrder.precedes(lower, $0) } ?? true
    return startsInTime && endsLate
  }

  func covers(_ part: MerkleTree.Part) -> Bool {
    guard !KeyOrder.precedes(part.lower, lower) else { return false }
    guard let upper else { return true }
    return part.upper.map { !KeyOrder.precedes(upper, $0) } ?? false
  }
}

/// A page of digest records that a machine wants from its own side's content.
///
/// The edge reads the ranges in their order and stops after `SyncLimits.recordsPerRead` records, or
/// once `SyncLimits.keyBytesPerRead` bytes of keys were read, but not before one record. It answers
/// with `recordsRead(id, records, isEnd:)`, where `isEnd` says that all ranges are exhausted.
public struct RecordRequest: Hashable, Sendable {
  public let id: UInt64
  /// Rising and apart.
  public let ranges: [KeyRange]
}

/// Pages through ranges, one request at a time.
struct RecordCursor: Sendable {
  private(set) var request: RecordRequest

  init(_ ranges: [KeyRange], id: UInt64) { request = RecordRequest(id: id, ranges: ranges) }

  /// Moves behind a page.
  /// - Returns: `false` when it was the last.
  mutating func advance(past records: [DigestRecord], isEnd: Bool) -> Bool {
    guard !isEnd else { return false }
    guard let last = records.last else { preconditionFailure("a page of records is empty, yet not the last") }
    let next = last.key + [0]
    var rest = request.ranges.drop { $0.ends(before: next) }
    guard !rest.isEmpty else { return false }
    let first = rest.startIndex
    if KeyOrder.precedes(rest[first].lower, next) { rest[first].lower = next }
    request = RecordRequest(id: request.id + 1, ranges: Array(rest))
    return true
  }
}
