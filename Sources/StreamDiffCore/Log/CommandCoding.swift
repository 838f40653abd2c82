/// A command as a log entry's payload. Integers are little-endian:
///
///     version u8 = 1 | kind u8 | …
///     0 noop:
///     1 create keyspace:  name | keyspace kind u8
///     2 operations:       name | keyspace kind u8 | session u8 (0 none, 1: 16 bytes follow) | [session]
///                         | first ordinal u64 | operations u32, their number | operations, to the end
///     3 seal:             name
///
/// where name is length u8 | bytes, and operations are as `OperationEncoding` has them.
extension Command {
  private static let version: UInt8 = 1
  private enum Kind: UInt8 { case noop, createKeyspace, operations, seal }

  /// What stands around the operations of a batch is never longer than this.
  public static let overheadBytes = 192

  /// At most `Limits.commandBytes`, when a batch's operations leave `overheadBytes` of it.
  public func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    switch self {
    case .noop:
      bytes = [Self.version, Kind.noop.rawValue]
    case .createKeyspace(let name, let kind):
      bytes = [Self.version, Kind.createKeyspace.rawValue]
      Self.append(name, to: &bytes)
      bytes.append(kind.rawValue)
    case .operations(let batch):
      bytes.reserveCapacity(Self.overheadBytes + batch.operations.bytes.count)
      bytes.append(Self.version)
      bytes.append(Kind.operations.rawValue)
      Self.append(batch.keyspace, to: &bytes)
      bytes.append(batch.kind.rawValue)
      bytes.append(batch.session == nil ? 0 : 1)
      if let session = batch.session { bytes += session.bytes }
      bytes.append(littleEndian: batch.firstOrdinal.rawValue)
      bytes.append(littleEndian: UInt32(batch.operations.count))
      bytes += batch.operations.bytes
    case .seal(let name):
      bytes = [Self.version, Kind.seal.rawValue]
      Self.append(name, to: &bytes)
    }
    return bytes
  }

  /// - Throws: `CommandError` unless the payload is exactly one whole command.
  public init(decoding payload: [UInt8]) throws(CommandError) {
    var reader = FieldReader()
    let bytes = payload.span
    let version: UInt8 = try reader.integer(bytes)
    guard version == Self.version else {
      throw CommandError(.unknown, "version \(version); this program knows \(Self.version)")
    }
    let number: UInt8 = try reader.integer(bytes)
    guard let kind = Kind(rawValue: number) else { throw CommandError(.unknown, "kind \(number)") }
    switch kind {
    case .noop: self = .noop
    case .createKeyspace: self = .createKeyspace(try reader.name(bytes), try reader.keyspaceKind(bytes))
    case .operations: self = .operations(try reader.batch(bytes))
    case .seal: self = .seal(try reader.name(bytes))
    }
    guard reader.position == bytes.count else {
      throw CommandError(.malformed, "\(bytes.count - reader.position) bytes are left over")
    }
  }

  private static func append(_ name: KeyspaceName, to bytes: inout [UInt8]) {
    bytes.append(UInt8(name.description.utf8.count))
    bytes += name.description.utf8
  }
}

/// Reads a payload's fields one after the other.
private struct FieldReader {
  var position = 0

  mutating func take(_ count: Int, of bytes: Span<UInt8>) throws(CommandError) -> Range<Int> {
    guard count <= bytes.count - position else {
      throw CommandError(.malformed, "ends early: \(count) bytes wanted at \(position) of \(bytes.count)")
    }
    defer { position += count }
    return position..<position + count
  }

  mutating func integer<T: FixedWidthInteger>(_ bytes: Span<UInt8>) throws(CommandError) -> T {
    var value: T = 0
    for place in try take(T.bitWidth / 8, of: bytes).reversed() { value = value << 8 | T(bytes[place]) }
    return value
  }

  mutating func name(_ bytes: Span<UInt8>) throws(CommandError) -> KeyspaceName {
    let count: UInt8 = try integer(bytes)
    let text = [UInt8](copying: bytes.extracting(try take(Int(count), of: bytes)))
    guard !text.isEmpty, let name = KeyspaceName(String(decoding: text, as: UTF8.self)) else {
      throw CommandError(.malformed, "no keyspace can have the name \(text)")
    }
    return name
  }

  mutating func keyspaceKind(_ bytes: Span<UInt8>) throws(CommandError) -> KeyspaceKind {
    let number: UInt8 = try integer(bytes)
    guard let kind = KeyspaceKind(rawValue: number) else {
      throw CommandError(.unknown, "keyspace kind \(number)")
    }
    return kind
  }

  mutating func batch(_ bytes: Span<UInt8>) throws(CommandError) -> OperationBatch {
    let name = try name(bytes)
    let kind = try keyspaceKind(bytes)
    var session: SessionID?
    switch try integer(bytes) as UInt8 {
    case 0: break
    case 1:
      let range = try take(SessionID.byteCount, of: bytes)
      session = SessionID(bytes: [UInt8](copying: bytes.extracting(range)))
    case let other: throw CommandError(.malformed, "session flag \(other)")
    }
    let firstOrdinal = Ordinal(try integer(bytes))
    guard firstOrdinal <= .maximum else {
      throw CommandError(.malformed, "first ordinal \(firstOrdinal.rawValue)")
    }
    let count: UInt32 = try integer(bytes)
    let rest = try take(bytes.count - position, of: bytes)
    let operations: EncodedOperations
    do throws(OperationError) {
      operations = try EncodedOperations([UInt8](copying: bytes.extracting(rest)))
    } catch {
      throw CommandError(.malformed, error.detail)
    }
    guard operations.count == Int(count) else {
      throw CommandError(.malformed, "\(operations.count) operations where \(count) are announced")
    }
    return OperationBatch(
      keyspace: name, kind: kind, session: session, firstOrdinal: firstOrdinal, operations: operations)
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
