/// Text of JSON (RFC 8259): what our output needs of it.
public enum JSONText {
  public static func string(_ text: String) -> String {
    var bytes: [UInt8] = []
    append(string: text.utf8, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  public static func base64(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    Base64.append(bytes, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// - Returns: false, with nothing appended, when the bytes are no UTF-8.
  @discardableResult
  static func append(string bytes: some Collection<UInt8>, to text: inout [UInt8]) -> Bool {
    let start = text.count
    text.append(UInt8(ascii: "\""))
    var validator = UTF8Validator()
    for byte in bytes {
      guard validator.accept(byte) else {
        text.removeSubrange(start...)
        return false
      }
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
      case 0x0a: text += "\\n".utf8
      case 0x0d: text += "\\r".utf8
      case 0x09: text += "\\t".utf8
      case 0..<0x20, 0x7f: text += "\\u00".utf8 + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
      default: text.append(byte)
      }
    }
    guard validator.isBetweenScalars else {
      text.removeSubrange(start...)
      return false
    }
    text.append(UInt8(ascii: "\""))
    return true
  }

  /// `"name":"…"`, or `"name_base64":"…"` for bytes that are no UTF-8.
  public static func member(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    appendMember(name, bytes, to: &text)
    return text
  }

  /// `{"name":…}`.
  public static func object(_ name: String, _ bytes: [UInt8]) -> [UInt8] {
    [UInt8(ascii: "{")] + member(name, bytes) + [UInt8(ascii: "}")]
  }

  /// `{"key":…,"value":…}`, with base64 members for what is no UTF-8: a line of NDJSON without its end.
  public static func entry(key: [UInt8], value: [UInt8]) -> [UInt8] {
    var text: [UInt8] = []
    appendEntry(key: key, value: value, to: &text)
    return text
  }

  static func appendEntry(
    key: some Collection<UInt8>, value: some Collection<UInt8>, to text: inout [UInt8]
  ) {
    text.append(UInt8(ascii: "{"))
    appendMember("key", key, to: &text)
    text.append(UInt8(ascii: ","))
    appendMember("value", value, to: &text)
    text.append(UInt8(ascii: "}"))
  }

  private static func appendMember(_ name: String, _ bytes: some Collection<UInt8>, to text: inout [UInt8]) {
    let start = text.count
    text += "\"\(name)\":".utf8
    if append(string: bytes, to: &text) { return }
    text.removeSubrange(start...)
    text += "\"\(name)_base64\":\"".utf8
    Base64.append(bytes, to: &text)
    text.append(UInt8(ascii: "\""))
  }

  private static let hex = Array("0123456789abcdef".utf8)
}

/// Accepts UTF-8 (RFC 3629) byte by byte: no surrogates, no overlong forms, nothing above U+10FFFF.
struct UTF8Validator {
  private var missing = 0
  private var allowed: ClosedRange<UInt8> = 0x80...0xbf

  var isBetweenScalars: Bool { missing == 0 }

  @inline(__always)
  mutating func accept(_ byte: UInt8) -> Bool {
    if missing == 0, byte < 0x80 { return true }
    return acceptRare(byte)
  }

  private mutating func acceptRare(_ byte: UInt8) -> Bool {
    if missing > 0 {
      guard allowed.contains(byte) else { return false }
      (missing, allowed) = (missing - 1, 0x80...0xbf)
      return true
    }
    switch byte {
    case 0xc2...0xdf: missing = 1
    case 0xe0: (missing, allowed) = (2, 0xa0...0xbf)
    case 0xed: (missing, allowed) = (2, 0x80...0x9f)
    case 0xe1...0xef: missing = 2
    case 0xf0: (missing, allowed) = (3, 0x90...0xbf)
    case 0xf1...0xf3: missing = 3
    case 0xf4: (missing, allowed) = (3, 0x80...0x8f)
    default: return false
    }
    return true
  }
}

/// Base64 with padding (RFC 4648 §4).
enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let padding = UInt8(ascii: "=")
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 255, count: 256)
    for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
    return values
  }()

  static func append(_ bytes: some Collection<UInt8>, to text: inout [UInt8]) {
    var iterator = bytes.makeIterator()
    while let first = iterator.next() {
      let second = iterator.next()
      let third = second == nil ? nil : iterator.next()
      let bits = UInt32(first) << 16 | UInt32(second ?? 0) << 8 | UInt32(third ?? 0)
      text.append(alphabet[Int(bits >> 18)])
      text.append(alphabet[Int(bits >> 12 & 63)])
      text.append(second == nil ? padding : alphabet[Int(bits >> 6 & 63)])
      text.append(third == nil ? padding : alphabet[Int(bits & 63)])
    }
  }

  /// Decodes the bytes of `buffer` from `start` on in place.
  ///
  /// - Returns: false when they are no base64 with its padding, or bits beyond the last byte are set.
  static func decode(_ buffer: inout [UInt8], from start: Int) -> Bool {
    let count = buffer.count - start
    guard count % 4 == 0 else { return false }
    let padded = buffer[start...].suffix(2).reversed().prefix { $0 == padding }.count
    let end = buffer.count - padded
    var (written, bits, have) = (start, UInt32(0), 0)
    for place in start..<end {
      let value = values[Int(buffer[place])]
      guard value != 255 else { return false }
      bits = bits << 6 | UInt32(value)
      have += 6
      if have >= 8 {
        have -= 8
        buffer[written] = UInt8(truncatingIfNeeded: bits >> UInt32(have))
        written += 1
      }
    }
    guard bits & (1 << UInt32(have) - 1) == 0 else { return false }
    buffer.removeSubrange(written...)
    return true
  }
}
