/// What a key must hold for an operation on it to be applied.
public enum Expectation: Hashable, Sendable {
  /// Whatever is there is replaced.
  case any
  /// The key is absent.
  case absent
  /// The key's entry has this digest (`EntryDigest`).
  case digest(Digest)
}

/// One change of one key, held in memory as a whole. Bulk paths keep operations encoded instead
/// (`OperationEncoding`) and borrow their keys and values (`OperationLayout`).
public struct Operation: Hashable, Sendable {
  public enum Change: Hashable, Sendable {
    case put(value: [UInt8])
    case delete
  }

  /// 1 byte to `Limits.keyBytes`.
  public var key: [UInt8]
  public var expectation: Expectation
  public var change: Change

  public init(key: [UInt8], expectation: Expectation = .any, change: Change) {
    self.key = key
    self.expectation = expectation
    self.change = change
  }

  /// This operation as `OperationEncoding` lays it out.
  public func encode() throws(OperationError) -> [UInt8] {
    var bytes: [UInt8] = []
    switch change {
    case .put(let value):
      try OperationEncoding.append(put: key, expecting: expectation, value: value, to: &bytes)
    case .delete:
      try OperationEncoding.append(deleting: key, expecting: expectation, to: &bytes)
    }
    return bytes
  }
}

/// An operation that cannot be: damaged, foreign, or beyond a limit.
public struct OperationError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: Sendable {
    /// The bytes follow no rule of `OperationEncoding`.
    case malformed
    /// The key is longer than `Limits.keyBytes`, or the value than `Limits.valueBytes`.
    case tooLarge
  }

  public var code: Code
  public var detail: String

  init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }

  public var description: String { "operation: \(detail)" }
}
