/// Where one operation stands within encoded bytes (`OperationEncoding`): a parser's answer that
/// copies nothing but an expected digest.
public struct OperationLayout: Hashable, Sendable {
  public enum Kind: Hashable, Sendable { case put, delete }

  public let kind: Kind
  public let key: Range<Int>
  public let expectation: Expectation
  /// Empty for a delete.
  public let value: Range<Int>
  /// Where the next operation begins.
  public let end: Int

  /// Reads the operation that begins at `start`. Time is independent of key and value lengths.
  /// - Returns: `nil` when the bytes end within it.
  /// - Throws: `OperationError` as soon as what is there cannot become an operation.
  public init?(parsing bytes: Span<UInt8>, at start: Int) throws(OperationError) {
    guard start < bytes.count else { return nil }
    switch bytes[start] {
    case OperationEncoding.put: kind = .put
    case OperationEncoding.delete: kind = .delete
    case let other: throw OperationError(.malformed, "kind \(other); 1 and 2 are known")
    }

    guard let (keyCount, keyStart) = try Self.length(bytes, at: start + 1, of: "key") else { return nil }
    guard keyCount > 0 else { throw OperationError(.malformed, "the key is empty") }
    guard keyCount <= Limits.keyBytes else { throw .key(of: keyCount) }
    key = keyStart..<keyStart + keyCount

    guard key.upperBound < bytes.count else { return nil }
    var position = key.upperBound + 1
    switch bytes[key.upperBound] {
    case OperationEncoding.expectsAny: expectation = .any
    case OperationEncoding.expectsAbsence: expectation = .absent
    case OperationEncoding.expectsDigest:
      guard position + Digest.byteCount <= bytes.count else { return nil }
      let digest = bytes.extracting(position..<position + Digest.byteCount)
      expectation = .digest(unsafe Digest(copying: digest.bytes))
      position += Digest.byteCount
    case let other: throw OperationError(.malformed, "expectation \(other); 0 to 2 are known")
    }

    if kind == .put {
      guard let (count, first) = try Self.length(bytes, at: position, of: "value") else { return nil }
      guard count <= Limits.valueBytes else { throw .value(of: count) }
      value = first..<first + count
      guard value.upperBound <= bytes.count else { return nil }
    } else {
      value = position..<position
    }
    end = value.upperBound
  }

  @inline(__always)
  private static func length(
    _ bytes: Span<UInt8>, at position: Int, of what: StaticString
  ) throws(OperationError) -> (Int, start: Int)? {
    switch Varint.read(bytes, at: position) {
    case .value(let count, let end): return (count, end)
    case .incomplete: return nil
    case .tooLong: throw OperationError(.malformed, "the length of the \(what) takes over five bytes")
    }
  }
}

/// Operations laid end to end and known to be whole: holding the value is the proof.
public struct EncodedOperations: Hashable, Sendable {
  public let bytes: [UInt8]
  public let count: Int

  public static let none = EncodedOperations(checked: [], count: 0)

  /// - Throws: `OperationError` when the bytes are anything but whole operations.
  public init(_ bytes: [UInt8]) throws(OperationError) {
    let span = bytes.span
    var count = 0
    var position = 0
    while position < span.count {
      guard let operation = try OperationLayout(parsing: span, at: position) else {
        throw OperationError(.malformed, "operation \(count + 1) ends early, at byte \(span.count)")
      }
      position = operation.end
      count += 1
    }
    self.init(checked: bytes, count: count)
  }

  public init(_ operations: [Operation]) throws(OperationError) {
    var bytes: [UInt8] = []
    for operation in operations { bytes += try operation.encode() }
    self.init(checked: bytes, count: operations.count)
  }

  /// The caller has walked the bytes and counted.
  init(checked bytes: [UInt8], count: Int) {
    self.bytes = bytes
    self.count = count
  }

  /// Copies of all operations.
  public var operations: [Operation] { map { Operation($0, in: bytes.span) } }
}

/// The operations in order, each as the place of its parts within `bytes`.
extension EncodedOperations: Sequence {
  public struct Iterator: IteratorProtocol {
    fileprivate let bytes: [UInt8]
    private var position = 0

    fileprivate init(bytes: [UInt8]) { self.bytes = bytes }

    @inline(__always)
    public mutating func next() -> OperationLayout? {
      guard position < bytes.count else { return nil }
      guard let operation = try? OperationLayout(parsing: bytes.span, at: position) else {
        preconditionFailure("checked operations are damaged at byte \(position) of \(bytes.count)")
      }
      position = operation.end
      return operation
    }
  }

  public func makeIterator() -> Iterator { Iterator(bytes: bytes) }

  /// As any sequence's, but it throws what `body` throws.
  @inline(__always)
  public func forEach<Failure: Error>(
    _ body: (OperationLayout) throws(Failure) -> Void
  ) throws(Failure) {
    for operation in self { try body(operation) }
  }
}

extension Operation {
  /// A copy of the operation that stands at `layout` in `bytes`.
  public init(_ layout: OperationLayout, in bytes: Span<UInt8>) {
    let value = [UInt8](copying: bytes.extracting(layout.value))
    self.init(
      key: [UInt8](copying: bytes.extracting(layout.key)), expectation: layout.expectation,
      change: layout.kind == .put ? .put(value: value) : .delete)
  }
}
