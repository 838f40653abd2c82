/// Whether a replica takes writes, by the free space of its disk. What it has accepted must still be logged
/// and flushed when the space is gone, so it stops taking more before that: below the floor it is read-only,
/// and it takes writes again only an eighth above that, so that it does not flutter.
public struct DiskFloor: Hashable, Sendable {
  /// Bytes, as `statvfs` and the replica know them.
  public struct Reading: Hashable, Sendable {
    public var total: UInt64
    public var available: UInt64
    /// What was accepted and may still need space.
    public var owed: UInt64

    public init(total: UInt64, available: UInt64, owed: UInt64) {
      (self.total, self.available, self.owed) = (total, available, owed)
    }
  }

  /// Free bytes below which nothing is taken, but never less than what is owed; `nil`: what is owed and, beside
  /// it, what `standard` says.
  public let floor: UInt64?
  public private(set) var isReadOnly = false

  public init(_ floor: UInt64? = nil) { self.floor = floor }

  /// A part of a small disk, and no more of a large one than a busy minute may need.
  public static func standard(total: UInt64) -> UInt64 { min(256 << 20, total / 20) }

  /// What must be free for writes to be taken.
  public func needed(_ reading: Reading) -> UInt64 {
    if let floor { return max(floor, reading.owed) }
    let needed = Self.standard(total: reading.total).addingReportingOverflow(reading.owed)
    return needed.overflow ? .max : needed.partialValue
  }

  /// - Returns: whether `isReadOnly` changed.
  public mutating func take(_ reading: Reading) -> Bool {
    let needed = needed(reading)
    let isTooLittle = reading.available < needed
    let isEnough = reading.available >= needed && reading.available - needed >= needed / 8
    guard isReadOnly ? isEnough : isTooLittle else { return false }
    isReadOnly.toggle()
    return true
  }
}
