import StreamDiffCore

/// Parses one line of NDJSON: an object with `key` or `key_base64`, and `value` or `value_base64`, all
/// strings, in any order, nothing else beside them. Strict as RFC 8259; appends the decoded key and value
/// to a buffer.
public struct EntryLine {
  public typealias Problem = JSONProblem

  /// Where key and value stand in the buffer, one right after the other.
  public private(set) var keyBytes = 0
  public private(set) var valueBytes = 0

  private var scanner: JSONScanner

  /// - Parameters:
  ///   - line: without its line feed; a carriage return at its end is white space.
  ///   - buffer: the key, then the value, are appended to it. After an error it holds parts of them.
  public init(_ line: UnsafeRawBufferPointer, into buffer: inout [UInt8]) throws(Problem) {
    scanner = JSONScanner(line)
    let start = buffer.count
    var (key, value): (Range<Int>?, Range<Int>?)
    try scanner.expect(UInt8(ascii: "{"), "an object {\"key\":…,\"value\":…}")
    repeat {
      scanner.skipSpace()
      let column = scanner.place
      let name = try memberName(&buffer)
      try scanner.expect(UInt8(ascii: ":"), "a colon")
      scanner.skipSpace()
      let isKey = name.isKey
      guard (isKey ? key : value) == nil else {
        throw Problem(column: column + 1, reason: "a second \(isKey ? "key" : "value")")
      }
      let limit = isKey ? Limits.keyBytes : Limits.valueBytes
      let range = try scanner.text(
        &buffer, isBase64: name.isBase64, limit: limit, what: isKey ? "key" : "value")
      if isKey { key = range } else { value = range }
      scanner.skipSpace()
    } while scanner.take(UInt8(ascii: ","))
    try scanner.expect(UInt8(ascii: "}"), "a comma or the end of the object")
    scanner.skipSpace()
    guard scanner.isAtEnd else { throw scanner.problem("something after the object") }
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
    let (start, column) = (buffer.count, scanner.place)
    _ = try scanner.text(&buffer, isBase64: false, limit: 64, what: "member name")
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
}
