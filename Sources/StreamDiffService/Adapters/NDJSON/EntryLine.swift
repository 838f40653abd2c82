import StreamDiffCore

/// Parses one line of NDJSON: an object with `key` or `key_base64`, and `value` or `value_base64`, all
/// strings, in any order, nothing else beside them. Strict as RFC 8259; appends the decoded key and value
/// to a buffer.
public struct EntryLine {
  public struct Problem: Error {
    /// In bytes from the start of the line, the first is 1.
    public let column: Int
    public let reason: String
    var isTooLarge = false
  }

  /// Where key and value stand in the buffer, one right after the other.
  public private(set) var keyBytes = 0
  public private(set) var valueBytes = 0

  private let line: UnsafeRawBufferPointer
  private var place = 0

  /// - Parameters:
  ///   - line: without its line feed; a carriage return at its end is white space.
  ///   - buffer: the key, then the value, are appended to it. After an error it holds parts of them.
  public init(_ line: UnsafeRawBufferPointer, into buffer: inout [UInt8]) throws(Problem) {
    self.line = line
    let start = buffer.count
    var (key, value): (Range<Int>?, Range<Int>?)
    try expect(UInt8(ascii: "{"), "an object {\"key\":…,\"value\":…}")
    repeat {
      skipSpace()
      let column = place
      let name = try memberName(&buffer)
      try expect(UInt8(ascii: ":"), "a colon")
      skipSpace()
      let isKey = name.isKey
      guard (isKey ? key : value) == nil else {
        throw Problem(column: column + 1, reason: "a second \(isKey ? "key" : "value")")
      }
      let limit = isKey ? Limits.keyBytes : Limits.valueBytes
      let range = try text(&buffer, isBase64: name.isBase64, limit: limit, what: isKey ? "key" : "value")
      if isKey { key = range } else { value = range }
      skipSpace()
    } while take(UInt8(ascii: ","))
    try expect(UInt8(ascii: "}"), "a comma or the end of the object")
    skipSpace()
    guard place == line.count else { throw problem("something after the object") }
    guard let key else { throw Problem(column: 1, reason: "no key") }
    guard let value else { throw Problem(column: 1, reason: "no value") }
    guard !key.isEmpty else { throw Problem(column: 1, reason: "an empty key") }
    if key.lowerBound > value.lowerBound {
      // The value came first: the key moves before it.
      let bytes = Array(buffer[key])
      buffer.removeSubrange(key)
      buffer.insert(contentsOf: bytes, at: start)
    }
    (keyBytes, valueBytes) = (key.count, value.count)
  }

  private mutating func memberName(
    _ buffer: inout [UInt8]
  ) throws(Problem) -> (isKey: Bool, isBase64: Bool) {
    let (start, column) = (buffer.count, place)
    _ = try text(&buffer, isBase64: false, limit: 64, what: "member name")
    defer { buffer.removeSubrange(start...) }
    let name = buffer[start...]
    for (text, answer) in Self.members where name.elementsEqual(text) { return answer }
    throw Problem(
      column: column + 1,
      reason: "the member \(printable(name)); key, key_base64, value, value_base64 are known")
  }

  private static let members: [([UInt8], (isKey: Bool, isBase64: Bool))] = [
    (Array("key".utf8), (true, false)), (Array("value".utf8), (false, false)),
    (Array("key_base64".utf8), (true, true)), (Array("value_base64".utf8), (false, true)),
  ]

  /// Appends what the string at `place` says.
  private mutating func text(
    _ buffer: inout [UInt8], isBase64: Bool, limit: Int, what: String
  ) throws(Problem) -> Range<Int> {
    let (start, column) = (buffer.count, place)
    guard take(UInt8(ascii: "\"")) else { throw problem("a \(what) that is no string") }
    while true {
      let run = try plainRun()
      buffer.append(contentsOf: line[run])
      guard place < line.count else { throw problem("the line ends within a string") }
      if take(UInt8(ascii: "\"")) { break }
      guard take(UInt8(ascii: "\\")) else { throw problem("a control character in a string") }
      try escape(&buffer)
    }
    if isBase64, !Base64.decode(&buffer, from: start) {
      throw Problem(column: column + 1, reason: "a \(what) that is no base64")
    }
    guard buffer.count - start <= limit else {
      let reason = "a \(what) of \(buffer.count - start) bytes; the limit is \(limit)"
      throw Problem(column: column + 1, reason: reason, isTooLarge: true)
    }
    return start..<buffer.count
  }

  /// Bytes up to a quote, a backslash or a control character, checked to be UTF-8.
  private mutating func plainRun() throws(Problem) -> Range<Int> {
    let start = place
    var validator = UTF8Validator()
    var end = place
    while end < line.count {
      let byte = line[end]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      guard validator.accept(byte) else {
        throw Problem(column: end + 1, reason: "a byte that is no UTF-8; use base64")
      }
      end += 1
    }
    place = end
    guard validator.isBetweenScalars else { throw problem("a byte that is no UTF-8; use base64") }
    return start..<place
  }

  private mutating func escape(_ buffer: inout [UInt8]) throws(Problem) {
    guard place < line.count else { throw problem("the line ends within an escape") }
    defer { place += 1 }
    switch line[place] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): buffer.append(line[place])
    case UInt8(ascii: "b"): buffer.append(0x08)
    case UInt8(ascii: "f"): buffer.append(0x0c)
    case UInt8(ascii: "n"): buffer.append(0x0a)
    case UInt8(ascii: "r"): buffer.append(0x0d)
    case UInt8(ascii: "t"): buffer.append(0x09)
    case UInt8(ascii: "u"): buffer.append(contentsOf: Unicode.UTF8.encode(try scalar())!)
    default: throw problem("an unknown escape")
    }
  }

  /// `\uXXXX`, or two of them that are a surrogate pair. Leaves `place` at the last digit.
  private mutating func scalar() throws(Problem) -> Unicode.Scalar {
    let first = try hexDigits()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard first < 0xdc00, place + 2 < line.count, line[place + 1] == UInt8(ascii: "\\"),
      line[place + 2] == UInt8(ascii: "u")
    else { throw problem("half of a surrogate pair") }
    place += 2
    let second = try hexDigits()
    guard (0xdc00..<0xe000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
    else { throw problem("half of a surrogate pair") }
    return scalar
  }

  /// The four digits after the `u` at `place`.
  private mutating func hexDigits() throws(Problem) -> UInt32 {
    var number: UInt32 = 0
    for _ in 0..<4 {
      place += 1
      guard place < line.count, let digit = Self.hexDigit(line[place]) else {
        throw problem("expected four hex digits after \\u")
      }
      number = number << 4 | digit
    }
    return number
  }

  private static func hexDigit(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }

  private mutating func skipSpace() {
    while place < line.count, Self.isSpace(line[place]) { place += 1 }
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard place < line.count, line[place] == byte else { return false }
    place += 1
    return true
  }

  private mutating func expect(_ byte: UInt8, _ what: String) throws(Problem) {
    skipSpace()
    guard take(byte) else { throw problem("expected \(what)") }
  }

  private func problem(_ reason: String) -> Problem { Problem(column: place + 1, reason: reason) }
}
