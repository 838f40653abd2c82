/// Operations as bytes, the same in a log entry and (after decoding) on the wire. Laid end to end:
///
///     kind u8 (1 put, 2 delete) | key length varint | key
///     | expectation u8 (0 none, 1 key is absent, 2 digest follows) | [expected entry digest, 32 bytes]
///     | put only: value length varint | value
///
/// Varints are protobuf's (LEB128), at most five bytes long.
public enum OperationEncoding {
  static let put: UInt8 = 1
  static let delete: UInt8 = 2

  static let expectsAny: UInt8 = 0
  static let expectsAbsence: UInt8 = 1
  static let expectsDigest: UInt8 = 2

  /// No operation is longer: kind, expectation and digest, two lengths, key and value.
  public static let maximumBytes = Limits.keyBytes + Limits.valueBytes + 64

  /// - Throws: `OperationError` when the key is empty, or key or value is beyond `Limits`.
  public static func append(
    put key: Span<UInt8>, expecting expectation: Expectation, value: Span<UInt8>, to bytes: inout [UInt8]
  ) throws(OperationError) {
    guard value.count <= Limits.valueBytes else { throw .value(of: value.count) }
    try append(kind: put, key: key, expecting: expectation, reserving: value.count, to: &bytes)
    Varint.append(value.count, to: &bytes)
    bytes.append(copying: value)
  }

  /// - Throws: `OperationError` when the key is empty or beyond `Limits.keyBytes`.
  public static func append(
    deleting key: Span<UInt8>, expecting expectation: Expectation, to bytes: inout [UInt8]
  ) throws(OperationError) {
    try append(kind: delete, key: key, expecting: expectation, reserving: 0, to: &bytes)
  }

  public static func append(
    put key: [UInt8], expecting expectation: Expectation, value: [UInt8], to bytes: inout [UInt8]
  ) throws(OperationError) {
    try append(put: key.span, expecting: expectation, value: value.span, to: &bytes)
  }

  public static func append(
    deleting key: [UInt8], expecting expectation: Expectation, to bytes: inout [UInt8]
  ) throws(OperationError) {
    try append(deleting: key.span, expecting: expectation, to: &bytes)
  }

  private static func append(
    kind: UInt8, key: Span<UInt8>, expecting expectation: Expectation, reserving valueBytes: Int,
    to bytes: inout [UInt8]
  ) throws(OperationError) {
    guard !key.isEmpty else { throw OperationError(.malformed, "the key is empty") }
    guard key.count <= Limits.keyBytes else { throw .key(of: key.count) }
    bytes.reserveRoom(for: key.count + valueBytes + 64)
    bytes.append(kind)
    Varint.append(key.count, to: &bytes)
    bytes.append(copying: key)
    switch expectation {
    case .any: bytes.append(expectsAny)
    case .absent: bytes.append(expectsAbsence)
    case .digest(let digest):
      bytes.append(expectsDigest)
      digest.append(to: &bytes)
    }
  }
}

extension OperationError {
  static func key(of count: Int) -> OperationError {
    OperationError(.tooLarge, "a key of \(count) bytes; the limit is \(Limits.keyBytes)")
  }

  static func value(of count: Int) -> OperationError {
    OperationError(.tooLarge, "a value of \(count) bytes; the limit is \(Limits.valueBytes)")
  }
}

extension [UInt8] {
  /// One copy, whatever the length.
  @inline(__always)
  mutating func append(copying bytes: Span<UInt8>) {
    unsafe bytes.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
  }

  /// Room for `more` bytes, growing at least by half, so that many small appends copy little.
  @inline(__always)
  mutating func reserveRoom(for more: Int) {
    if capacity - count < more { reserveCapacity(Swift.max(count + more, count * 3 / 2)) }
  }

  init(copying bytes: Span<UInt8>) {
    self = unsafe bytes.withUnsafeBufferPointer { unsafe [UInt8]($0) }
  }
}

/// `value` takes the place; what was there comes back, without a second reference to it.
func exchange<Value>(_ place: inout Value, with value: consuming Value) -> Value {
  swap(&place, &value)
  return value
}
