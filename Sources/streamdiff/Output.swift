import Glibc
import StreamDiffService

/// stdout and stderr, without buffers between: what is printed is out when a command ends, however it ends.
enum Output {
  static func print(_ text: String) { write(Array((text + "\n").utf8)) }

  static func write(_ bytes: [UInt8]) { write(bytes, to: STDOUT_FILENO) }

  static func complain(_ text: String) { write(Array("streamdiff: \(text)\n".utf8), to: STDERR_FILENO) }

  static func note(_ text: String) { write(Array(text.utf8), to: STDERR_FILENO) }

  static var isTerminal: Bool { isatty(STDERR_FILENO) == 1 }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0 {
        if errno == EINTR || errno == EAGAIN { continue }
        guard descriptor == STDOUT_FILENO else { return }
        if errno == EPIPE { endUnread() }
        fail(errno)
      }
      rest = rest.dropFirst(count)
    }
  }
}

extension Output {
  /// Nobody reads any more: ends as a program does that leaves SIGPIPE alone, which the transport must not.
  private static func endUnread() -> Never {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    exit(128 + SIGPIPE)  // where a parent has it blocked
  }

  /// Half an answer must not look like a whole one.
  private static func fail(_ code: Int32) -> Never {
    complain("writing to standard output: \(String(cString: strerror(code)))")
    exit(1)
  }
}

/// A value of the JSON that `--json` prints.
enum JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
  case string(String)
  case number(Int)
  case decimal(Double)
  case bool(Bool)
  case null
  case array([JSON])
  case object([(String, JSON)])

  init(stringLiteral text: String) { self = .string(text) }
  init(integerLiteral number: Int) { self = .number(number) }
  /// A key or path of any bytes: as text where it is UTF-8, else as text for people and as base64 beside.
  static func key(_ bytes: [UInt8]) -> [(String, JSON)] {
    if let text = String(validating: bytes, as: UTF8.self) { return [("key", .string(text))] }
    return [("key", .string(printable(bytes))), ("key_base64", .string(JSONText.base64(bytes)))]
  }

  static func number(_ number: UInt64) -> JSON { .number(Int(clamping: number)) }

  var text: String {
    switch self {
    case .string(let text): JSONText.string(text)
    case .number(let number): "\(number)"
    case .decimal(let number): number.isFinite ? fixed(number, digits: 6) : "null"
    case .bool(let isTrue): isTrue ? "true" : "false"
    case .null: "null"
    case .array(let items): "[\(items.map(\.text).joined(separator: ","))]"
    case .object(let members):
      "{\(members.map { "\(JSONText.string($0)):\($1.text)" }.joined(separator: ","))}"
    }
  }
}

/// A number with so many digits behind the point.
func fixed(_ number: Double, digits: Int) -> String {
  var scale: Double = 1
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int((abs(number) * scale).rounded())
  let fraction = String(scaled % Int(scale))
  let sign = number < 0 && scaled > 0 ? "-" : ""
  guard digits > 0 else { return "\(sign)\(scaled)" }
  return "\(sign)\(scaled / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
}

/// Bytes as tunables take them, in units of 1024: "64MiB", "12.3MiB".
func readable(binary bytes: some BinaryInteger) -> String {
  var amount = Double(bytes)
  var units = ["KiB", "MiB", "GiB"][...]
  var unit = "B"
  while amount >= 1024, let next = units.popFirst() { (amount, unit) = (amount / 1024, next) }
  return "\(fixed(amount, digits: amount == amount.rounded() ? 0 : 1))\(unit)"
}

/// Bytes for people, in units of 1000: "127.1 MB".
func readable(bytes: some BinaryInteger) -> String {
  var amount = Double(bytes)
  for unit in ["B", "kB", "MB", "GB"] {
    if amount < 1000 { return unit == "B" ? "\(Int(amount)) B" : "\(fixed(amount, digits: 1)) \(unit)" }
    amount /= 1000
  }
  return "\(fixed(amount, digits: 1)) TB"
}
