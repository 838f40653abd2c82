/// Why a line of JSON was refused.
public struct JSONProblem: Error, Hashable, Sendable, CustomStringConvertible {
  /// In bytes from the start of the line, the first is 1.
  public let column: Int
  public let reason: String
  var isTooLarge = false

  public var description: String { "column \(column): \(reason)" }
}

/// Goes through one line of JSON, strict as RFC 8259, token after token.
struct JSONScanner {
  let line: UnsafeRawBufferPointer
  private(set) var place = 0

  init(_ line: UnsafeRawBufferPointer) { self.line = line }

  /// Bytes that are left to read.
  var isAtEnd: Bool { place == line.count }

  // MARK: Punctuation

  mutating func skipSpace() {
    while place < line.count, Self.isSpace(line[place]) { place += 1 }
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d }

  /// The next byte, spaces left out; `nil` at the end.
  mutating func peek() -> UInt8? {
    skipSpace()
    return place < line.count ? line[place] : nil
  }

  mutating func take(_ byte: UInt8) -> Bool {
    guard place < line.count, line[place] == byte else { return false }
    place += 1
    return true
  }

  mutating func expect(_ byte: UInt8, _ what: String) throws(JSONProblem) {
    skipSpace()
    guard take(byte) else { throw problem("expected \(what)") }
  }

  func problem(_ reason: String) -> JSONProblem { JSONProblem(column: place + 1, reason: reason) }

  // MARK: Strings

  /// Appends what the string at `place` says.
  mutating func text(
    _ buffer: inout [UInt8], isBase64: Bool, limit: Int, what: String
  ) throws(JSONProblem) -> Range<Int> {
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
      throw JSONProblem(column: column + 1, reason: "a \(what) that is no base64")
    }
    guard buffer.count - start <= limit else {
      let reason = "a \(what) of \(buffer.count - start) bytes; the limit is \(limit)"
      throw JSONProblem(column: column + 1, reason: reason, isTooLarge: true)
    }
    return start..<buffer.count
  }

  /// Bytes up to a quote, a backslash or a control character, checked to be UTF-8.
  private mutating func plainRun() throws(JSONProblem) -> Range<Int> {
    let start = place
    var validator = UTF8Validator()
    var end = place
    while end < line.count {
      let byte = line[end]
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") || byte < 0x20 { break }
      guard validator.accept(byte) else {
        throw JSONProblem(column: end + 1, reason: "a byte that is no UTF-8; use base64")
      }
      end += 1
    }
    place = end
    guard validator.isBetweenScalars else { throw problem("a byte that is no UTF-8; use base64") }
    return start..<place
  }

  private mutating func escape(_ buffer: inout [UInt8]) throws(JSONProblem) {
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
  private mutating func scalar() throws(JSONProblem) -> Unicode.Scalar {
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
  private mutating func hexDigits() throws(JSONProblem) -> UInt32 {
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

  // MARK: Numbers

  /// A whole number without an exponent, as far as 64 bits go, either way.
  mutating func wholeNumber() throws(JSONProblem) -> (magnitude: UInt64, isNegative: Bool) {
    let start = place
    let isNegative = take(UInt8(ascii: "-"))
    let first = place
    var magnitude: UInt64 = 0
    while place < line.count, UInt8(ascii: "0")...UInt8(ascii: "9") ~= line[place] {
      let (tens, isTooLarge) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, carries) = tens.addingReportingOverflow(UInt64(line[place] - UInt8(ascii: "0")))
      guard !isTooLarge, !carries else {
        throw JSONProblem(column: start + 1, reason: "a number beyond 64 bits")
      }
      magnitude = sum
      place += 1
    }
    guard place > first, place == first + 1 || line[first] != UInt8(ascii: "0") else {
      throw JSONProblem(column: start + 1, reason: "expected a whole number")
    }
    return (magnitude, isNegative)
  }

  /// `true` or `false`.
  mutating func truth() throws(JSONProblem) -> Bool {
    for (word, value) in [("true", true), ("false", false)] where line[place...].starts(with: word.utf8) {
      place += word.utf8.count
      return value
    }
    throw problem("expected true or false")
  }
}
