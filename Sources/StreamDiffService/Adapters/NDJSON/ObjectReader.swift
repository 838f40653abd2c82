/// The members of one JSON object whose values are texts, whole numbers, truths and short lists of these: taken by name,
/// each once.
struct ObjectReader {
  indirect enum Value {
    case text(String)
    case number(magnitude: UInt64, isNegative: Bool)
    case truth(Bool)
    case list([Value])
  }

  /// Bytes of a line: the longest that is written has a few thousand.
  static let lineBytes = 64 << 10
  /// Members of an object, and values of all its lists.
  private static let mostMembers = 128
  private static let mostValues = 4096
  private static let textBytes = 4 << 10
  /// Lists in lists.
  private static let depth = 2

  private var members: [String: (value: Value, column: Int)] = [:]
  private let end: Int

  init(_ line: UnsafeRawBufferPointer) throws(JSONProblem) {
    guard line.count <= Self.lineBytes else {
      throw JSONProblem(
        column: Self.lineBytes + 1, reason: "a line of \(line.count) bytes; the limit is \(Self.lineBytes)")
    }
    var scanner = JSONScanner(line)
    var values = 0
    try scanner.expect(UInt8(ascii: "{"), "an object")
    repeat {
      scanner.skipSpace()
      let column = scanner.place + 1
      let name = try Self.text(&scanner, "member name")
      try scanner.expect(UInt8(ascii: ":"), "a colon")
      scanner.skipSpace()
      let value = (value: try Self.value(&scanner, depth: Self.depth, count: &values), column: scanner.place)
      guard members.updateValue((value.value, column), forKey: name) == nil else {
        throw JSONProblem(column: column, reason: "a second \(printable(name.utf8))")
      }
      guard members.count <= Self.mostMembers else {
        throw JSONProblem(column: column, reason: "more than \(Self.mostMembers) members")
      }
      scanner.skipSpace()
    } while scanner.take(UInt8(ascii: ","))
    try scanner.expect(UInt8(ascii: "}"), "a comma or the end of the object")
    scanner.skipSpace()
    guard scanner.isAtEnd else { throw scanner.problem("something after the object") }
    end = line.count
  }

  private static func text(_ scanner: inout JSONScanner, _ what: String) throws(JSONProblem) -> String {
    var buffer: [UInt8] = []
    _ = try scanner.text(&buffer, isBase64: false, limit: textBytes, what: what)
    return String(decoding: buffer, as: UTF8.self)
  }

  private static func value(
    _ scanner: inout JSONScanner, depth: Int, count: inout Int
  ) throws(JSONProblem) -> Value {
    count += 1
    guard count <= mostValues else { throw scanner.problem("more than \(mostValues) values") }
    switch scanner.peek() {
    case UInt8(ascii: "\""): return .text(try text(&scanner, "value"))
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .truth(try scanner.truth())
    case UInt8(ascii: "["):
      guard depth > 0 else { throw scanner.problem("a list too deep") }
      _ = scanner.take(UInt8(ascii: "["))
      var list: [Value] = []
      scanner.skipSpace()
      if scanner.take(UInt8(ascii: "]")) { return .list([]) }
      repeat {
        scanner.skipSpace()
        list.append(try value(&scanner, depth: depth - 1, count: &count))
        scanner.skipSpace()
      } while scanner.take(UInt8(ascii: ","))
      try scanner.expect(UInt8(ascii: "]"), "a comma or the end of the list")
      return .list(list)
    default:
      let number = try scanner.wholeNumber()
      return .number(magnitude: number.magnitude, isNegative: number.isNegative)
    }
  }

  // MARK: Taking members

  func has(_ name: String) -> Bool { members[name] != nil }

  /// What is left was not asked for.
  func finish() throws(JSONProblem) {
    guard let first = members.min(by: { $0.value.column < $1.value.column }) else { return }
    throw JSONProblem(
      column: first.value.column, reason: "the member \(printable(first.key.utf8)) has no place here")
  }

  private mutating func take(_ name: String) throws(JSONProblem) -> (value: Value, column: Int) {
    guard let member = members.removeValue(forKey: name) else {
      throw JSONProblem(column: end + 1, reason: "no \(name)")
    }
    return member
  }

  mutating func text(_ name: String) throws(JSONProblem) -> String { try text(name) { $0 } }

  /// - Parameter make: `nil` for what it cannot be.
  mutating func text<T>(_ name: String, _ make: (String) -> T?) throws(JSONProblem) -> T {
    let member = try take(name)
    guard case .text(let text) = member.value, let value = make(text) else {
      throw JSONProblem(column: member.column, reason: "\(name) is none")
    }
    return value
  }

  mutating func truth(_ name: String) throws(JSONProblem) -> Bool {
    let member = try take(name)
    guard case .truth(let isTrue) = member.value else {
      throw JSONProblem(column: member.column, reason: "\(name) is neither true nor false")
    }
    return isTrue
  }

  mutating func number<T: FixedWidthInteger>(
    _ name: String, in range: ClosedRange<T> = T.min...T.max
  ) throws(JSONProblem) -> T {
    let member = try take(name)
    guard let number = Self.number(member.value, in: range) else {
      throw JSONProblem(
        column: member.column, reason: "\(name) is no number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func list<T>(_ name: String, _ make: (Value) -> T?) throws(JSONProblem) -> [T] {
    let member = try take(name)
    guard case .list(let values) = member.value else {
      throw JSONProblem(column: member.column, reason: "\(name) is no list")
    }
    let made = values.compactMap(make)
    guard made.count == values.count else {
      throw JSONProblem(column: member.column, reason: "\(name) holds what does not belong there")
    }
    return made
  }

  static func number<T: FixedWidthInteger>(
    _ value: Value, in range: ClosedRange<T> = T.min...T.max
  ) -> T? {
    guard case .number(let magnitude, let isNegative) = value else { return nil }
    let number: T?
    if isNegative {
      // The least has a magnitude of its own.
      number = magnitude == T.min.magnitude ? T.min : T(exactly: magnitude).map { 0 &- $0 }
    } else {
      number = T(exactly: magnitude)
    }
    guard let number, range.contains(number), number < 0 || !isNegative else { return nil }
    return number
  }
}
