import CStreamDiffProtos
import StreamDiffCore

// Fields whose Swift type holds more than the wire's.

extension ProtoCoding {
  /// Lends `bytes` as a field that is packed straight from the array, without a copy between.
  static func lend(_ bytes: [UInt8], to body: (ProtobufCBinaryData) -> Void) {
    bytes.withUnsafeBufferPointer {
      // protobuf-c's struct serves both ways and so is not const; packing only reads.
      body(ProtobufCBinaryData(len: $0.count, data: UnsafeMutablePointer(mutating: $0.baseAddress)))
    }
  }

  /// - Returns: `nil` for an empty field.
  static func digest(_ field: ProtobufCBinaryData, _ name: StaticString) throws(WireError) -> Digest? {
    guard field.len > 0 else { return nil }
    guard field.len == Digest.byteCount else {
      throw WireError(.malformed, "\(name) has \(field.len) bytes; a digest has \(Digest.byteCount)")
    }
    return Digest(copying: UnsafeRawBufferPointer(start: field.data, count: field.len).bytes)
  }

  static func session(_ field: ProtobufCBinaryData) throws(WireError) -> SessionID? {
    guard field.len > 0 else { return nil }
    guard let session = SessionID(bytes: [UInt8](field)) else {
      throw WireError(.malformed, "session has \(field.len) bytes; it must have \(SessionID.byteCount)")
    }
    return session
  }

  /// - Parameter expected: a field that is present.
  static func expectation(_ expected: ProtobufCBinaryData) throws(WireError) -> Expectation {
    try digest(expected, "expected").map { .digest($0) } ?? .absent
  }

  /// - Returns: `nil` where the field is left out.
  static func expected(_ expectation: Expectation) -> [UInt8]? {
    switch expectation {
    case .any: nil
    case .absent: []
    case .digest(let digest): digest.bytes
    }
  }

  static func ordinal(_ value: UInt64, _ field: StaticString) throws(WireError) -> Ordinal {
    guard value <= Ordinal.maximum.rawValue else {
      throw WireError(.malformed, "\(field) is \(value); no session gets beyond \(Ordinal.maximum.rawValue)")
    }
    return Ordinal(value)
  }

  static func count(_ value: UInt64, _ field: StaticString) throws(WireError) -> Int {
    guard let count = Int(exactly: value) else {
      throw WireError(.malformed, "\(field) is \(value), more than can be counted")
    }
    return count
  }
}

extension KeyspaceKind {
  /// - Returns: `nil` for a kind that is unspecified or that only a newer peer knows.
  init?(_ kind: Streamdiff__V1__KeyspaceKind) {
    guard let value = UInt8(exactly: kind.rawValue) else { return nil }
    self.init(rawValue: value)
  }
}

extension Streamdiff__V1__KeyspaceKind {
  init(_ kind: KeyspaceKind?) {
    self.init(rawValue: UInt32(kind?.rawValue ?? 0))
  }
}
