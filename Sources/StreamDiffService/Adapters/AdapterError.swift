import Glibc

/// What went wrong between a session and the caller's own files. The path is named; the detail says what to
/// do.
public struct AdapterError: Error, Equatable, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    /// A system call failed: the caller's disk or permissions.
    case io
    /// The file system has no room left.
    case noSpace
    /// Content is not what it was when it was scanned.
    case changed
    /// The input breaks its format; the detail names the place.
    case malformed
    /// A bound of the contract (key, value, number of pieces) would be passed.
    case tooLarge
    /// What the other side sent would leave DEST or contradicts itself; nothing of it was written.
    case refused
  }

  public var code: Code
  /// The file concerned, printable; nil where the error is about no file.
  public var path: String?
  public var detail: String
  /// `errno` of the system call that failed; 0 where none did.
  var number: Int32 = 0

  public init(_ code: Code, path: String? = nil, _ detail: String) {
    self.code = code
    self.path = path
    self.detail = detail
  }

  public var description: String { path.map { "\($0): \(detail)" } ?? detail }

  /// The error of a system call that has just failed: reads `errno`.
  static func system(_ call: @autoclosure () -> String, path: @autoclosure () -> String) -> AdapterError {
    let number = errno
    let code: Code = number == ENOSPC || number == EDQUOT ? .noSpace : .io
    var error = AdapterError(code, path: path(), "\(call()): \(String(cString: strerror(number)))")
    error.number = number
    return error
  }
}

/// File names are bytes. For people, what is no printable UTF-8 is shown as `\xNN`, so that a name can
/// neither hide nor drive a terminal.
public func printable(_ bytes: some Sequence<UInt8>) -> String {
  let bytes = Array(bytes)
  var text = ""
  var place = 0
  while place < bytes.count {
    guard let (scalar, length) = firstScalar(of: bytes[place...]) else {
      text += escaped(bytes[place])
      place += 1
      continue
    }
    if scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value) {
      for byte in bytes[place..<place + length] { text += escaped(byte) }
    } else {
      text.unicodeScalars.append(scalar)
    }
    place += length
  }
  return text
}

private func firstScalar(of bytes: ArraySlice<UInt8>) -> (Unicode.Scalar, length: Int)? {
  var parser = Unicode.UTF8.ForwardParser()
  var iterator = bytes.makeIterator()
  guard case .valid(let encoded) = parser.parseScalar(from: &iterator) else { return nil }
  return (Unicode.UTF8.decode(encoded), encoded.count)
}

private func escaped(_ byte: UInt8) -> String {
  let digits = Array("0123456789abcdef")
  return "\\x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
}
