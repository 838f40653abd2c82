/// `grpc-message` on the wire: printable ASCII, everything else and `%` itself as `%XX` per UTF-8 byte.
enum PercentEncoding {
  /// Bytes of a message as sent. Others bound a whole header list to 8 KiB.
  static let limit = 4 << 10

  private static let digits = Array("0123456789ABCDEF".utf8)

  /// A message that would be longer than `limit` ends early, between two characters.
  static func encode(_ text: String) -> String {
    if text.utf8.count <= limit, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "%") }) {
      return text
    }
    var encoded: [UInt8] = []
    let last = text.unicodeScalars.indices.last
    for index in text.unicodeScalars.indices {
      let scalar = text.unicodeScalars[index]
      // A space may not be the first or last byte of a field value (RFC 9113 §8.2.1).
      let isEdge = encoded.isEmpty || index == last
      let isPlain = scalar.value > 0x20 && scalar.value < 0x7F && scalar != "%" || scalar == " " && !isEdge
      let start = encoded.count
      for byte in UTF8.encode(scalar)! {
        if isPlain {
          encoded.append(byte)
        } else {
          encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
      }
      guard encoded.count <= limit else {
        encoded.removeSubrange(start...)
        while encoded.last == UInt8(ascii: " ") { encoded.removeLast() }
        break
      }
    }
    return String(decoding: encoded, as: UTF8.self)
  }

  /// Sequences that are no `%XX` stay as they are, as gRPC asks.
  static func decode(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "%")) else { return text }
    let bytes = Array(text.utf8)
    var decoded: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = nibble(bytes[index + 1]),
        let low = nibble(bytes[index + 2])
      {
        decoded.append(high << 4 | low)
        index += 3
      } else {
        decoded.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: decoded, as: UTF8.self)
  }

  private static func nibble(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
