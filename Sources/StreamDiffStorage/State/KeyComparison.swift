import Glibc

/// Keys as bytes: a prefix comes before what it begins.
enum KeyComparison {
  /// - Returns: below, at or above zero as `left` comes before, is, or comes after `right`.
  static func compare(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let shared = min(left.count, right.count)
    if shared > 0, let a = left.baseAddress, let b = right.baseAddress {
      let order = memcmp(a, b, shared)
      if order != 0 { return Int(order) }
    }
    return left.count - right.count
  }

  static func isEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    left.count == right.count && compare(left, right) == 0
  }

  static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    left.withBytes { left in right.withBytes { compare(left, $0) < 0 } }
  }
}
