/// A protobuf message as a list of fields, whatever its type: enough to change one field and keep
/// the lengths around it right.
struct ProtobufFields {
  enum Value {
    case varint(UInt64)
    /// Four or eight bytes.
    case fixed([UInt8])
    case bytes([UInt8])
  }

  struct Field {
    var number: UInt64
    var value: Value

    var bytes: [UInt8]? { if case .bytes(let bytes) = value { bytes } else { nil } }
  }

  var list: [Field] = []

  /// - Returns: `nil` when the bytes are no protobuf message.
  init?(_ bytes: [UInt8]) {
    var place = 0
    while place < bytes.count {
      guard let (key, start) = Self.varint(bytes, at: place) else { return nil }
      place = start
      switch key & 7 {
      case 0:
        guard let (value, end) = Self.varint(bytes, at: place) else { return nil }
        list.append(Field(number: key >> 3, value: .varint(value)))
        place = end
      case 1, 5:
        let end = place + (key & 7 == 1 ? 8 : 4)
        guard end <= bytes.count else { return nil }
        list.append(Field(number: key >> 3, value: .fixed(Array(bytes[place..<end]))))
        place = end
      case 2:
        guard let (count, start) = Self.varint(bytes, at: place), count <= bytes.count - start else {
          return nil
        }
        place = start + Int(count)
        list.append(Field(number: key >> 3, value: .bytes(Array(bytes[start..<place]))))
      default: return nil
      }
    }
  }

  func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    for field in list {
      switch field.value {
      case .varint(let value):
        Self.append(field.number << 3, to: &bytes)
        Self.append(value, to: &bytes)
      case .fixed(let fixed):
        Self.append(field.number << 3 | (fixed.count == 8 ? 1 : 5), to: &bytes)
        bytes += fixed
      case .bytes(let content):
        Self.append(field.number << 3 | 2, to: &bytes)
        Self.append(UInt64(content.count), to: &bytes)
        bytes += content
      }
    }
    return bytes
  }

  static func varint(_ bytes: [UInt8], at start: Int) -> (UInt64, end: Int)? {
    var value: UInt64 = 0
    for place in start..<min(bytes.count, start + 10) {
      value |= UInt64(bytes[place] & 0x7f) << UInt64(7 * (place - start))
      if bytes[place] < 0x80 { return (value, place + 1) }
    }
    return nil
  }

  static func append(_ value: UInt64, to bytes: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}
