/// A command as a log entry's payload. Integers are little-endian:
///
///     version u8 = 2 | kind u8 | …
///     0 noop:
///     1 create keyspace:  name | keyspace kind u8
///     2 operations:       name | keyspace kind u8
///                         | session u8 (0 none, 1: it follows) | [session 16 bytes | fence u64 | time u64]
///                         | first ordinal u64 | operations u32, their number | operations, to the end
///     3 seal:             name
///     4 open session:     session 16 bytes | resumes u8 | time u64
///     5 expire sessions:  now u64 | idle since u64 | used before u64 | forget before u64
///
/// where name is length u8 | bytes, operations are as `OperationEncoding` has them, and times are of the
/// group, in milliseconds.
///
/// Version 1 has kinds 0 to 3 and neither fence nor time. Its writers remembered no sessions and applied
/// every batch: its sessions are read and dropped, so that what they applied is applied again.
extension Command {
  private static let version: UInt8 = 2
  private enum Kind: UInt8 { case noop, createKeyspace, operations, seal, openSession, expireSessions }

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
      if let session = batch.session {
        bytes += session.bytes
        bytes.append(littleEndian: batch.fence.rawValue)
        bytes.append(littleEndian: batch.time.milliseconds)
      }
      bytes.append(littleEndian: batch.firstOrdinal.rawValue)
      bytes.append(littleEndian: UInt32(batch.operations.count))
      bytes += batch.operations.bytes
    case .seal(let name):
      bytes = [Self.version, Kind.seal.rawValue]
      Self.append(name, to: &bytes)
    case .openSession(let opening):
      bytes = [Self.version, Kind.openSession.rawValue] + opening.id.bytes
      bytes.append(opening.resumes ? 1 : 0)
      bytes.append(littleEndian: opening.time.milliseconds)
    case .expireSessions(let expiry):
      bytes = [Self.version, Kind.expireSessions.rawValue]
      bytes.append(littleEndian: expiry.now.milliseconds)
      bytes.append(littleEndian: expiry.idleSince.milliseconds)
      bytes.append(littleEndian: expiry.usedBefore.rawValue)
      bytes.append(littleEndian: expiry.forgetBefore.milliseconds)
    }
    return bytes
  }

  /// - Throws: `CommandError` unless the payload is exactly one whole command.
  public init(decoding payload: [UInt8]) throws(CommandError) {
    var reader = FieldReader()
    let bytes = payload.span
    let version: UInt8 = try reader.integer(bytes)
    guard 1...Self.version ~= version else {
      throw CommandError(.unknown, "version \(version); this program knows 1 to \(Self.version)")
    }
    let number: UInt8 = try reader.integer(bytes)
    guard let kind = Kind(rawValue: number), version > 1 || kind.rawValue <= Kind.seal.rawValue else {
      throw CommandError(.unknown, "kind \(number) of version \(version)")
    }
    switch kind {
    case .noop: self = .noop
    case .createKeyspace: self = .createKeyspace(try reader.name(bytes), try reader.keyspaceKind(bytes))
    case .operations: self = .operations(try reader.batch(bytes, version: version))
    case .seal: self = .seal(try reader.name(bytes))
    case .openSession: self = .openSession(try reader.opening(bytes))
    case .expireSessions:
      self = .expireSessions(
        SessionExpiry(
          now: try reader.time(bytes), idleSince: try reader.time(bytes),
          usedBefore: LogIndex(try reader.integer(bytes)), forgetBefore: try reader.time(bytes)))
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

  mutating func session(_ bytes: Span<UInt8>) throws(CommandError) -> SessionID {
    let range = try take(SessionID.byteCount, of: bytes)
    guard let session = SessionID(bytes: [UInt8](copying: bytes.extracting(range))) else {
      preconditionFailure("\(range.count) bytes are no session")
    }
    return session
  }

  mutating func opening(_ bytes: Span<UInt8>) throws(CommandError) -> SessionOpening {
    let id = try session(bytes)
    let resumes: UInt8 = try integer(bytes)
    guard resumes <= 1 else { throw CommandError(.malformed, "resumes \(resumes)") }
    var opening = SessionOpening(id, resumes: resumes == 1)
    opening.time = try time(bytes)
    return opening
  }

  mutating func time(_ bytes: Span<UInt8>) throws(CommandError) -> GroupTime {
    GroupTime(milliseconds: try integer(bytes))
  }

  mutating func batch(_ bytes: Span<UInt8>, version: UInt8) throws(CommandError) -> OperationBatch {
    let name = try name(bytes)
    let kind = try keyspaceKind(bytes)
    var session: SessionID?
    var (fence, time) = (LogIndex.zero, GroupTime.zero)
    switch try integer(bytes) as UInt8 {
    case 0: break
    case 1 where version == 1: _ = try self.session(bytes)
    case 1:
      session = try self.session(bytes)
      (fence, time) = (LogIndex(try integer(bytes)), try self.time(bytes))
    case let other: throw CommandError(.malformed, "session flag \(other)")
    }
    let firstOrdinal = Ordinal(try integer(bytes))
    guard firstOrdinal > .zero, firstOrdinal <= .maximum else {
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
    var batch = OperationBatch(
      keyspace: name, kind: kind, session: session, firstOrdinal: firstOrdinal, fence: fence,
      operations: operations)
    batch.time = time
    return batch
  }
}

extension [UInt8] {
  mutating func append(littleEndian value: some FixedWidthInteger & UnsignedInteger) {
    for shift in stride(from: 0, to: value.bitWidth, by: 8) {
      append(UInt8(truncatingIfNeeded: value >> shift))
    }
  }
}
