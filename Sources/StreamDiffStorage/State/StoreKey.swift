import StreamDiffCore

/// The layout of the state in its one column family. The first byte of a key parts what it holds:
///
/// ```text
/// 1 | keyspace id u32 BE | key          an entry: first 8 bytes of its entry digest | its value
/// 2 | keyspace id u32 BE | key          its digest record: entry digest, 32 bytes | value length u32 LE
/// 3 | keyspace id u32 BE | lower bound  a Merkle leaf (MerkleTree.LeafRecord)
/// 4 | 0                                 format of the state u32 LE
/// 4 | 1                                 applied index u64 LE | its term u64 LE
/// 4 | 2 | name                          a keyspace: id u32 LE | kind u8
/// 4 | 3                                 all sessions: clock u64 LE | idle since u64 LE | used before u64 LE
///                                       | number of records u64 LE
/// 4 | 4 | session, 16 bytes             a session: last ordinal, index that decided it, conflicts, conflict
///                                       mask, fence, index and time of its use noted last, each u64 LE
/// 4 | 5 | index of its use u64 BE       that session, 16 bytes | time of the use u64 LE
/// ```
///
/// A batch changes all of them together, so that whatever a crash leaves agrees with itself.
///
/// The eight bytes before a value let a read check it with one search where the digest record would cost
/// a second (3.5 of 8 µs of CPU a random read, 500 000 entries on a busy machine): a value altered at rest
/// passes with a chance of 2⁻⁶⁴, and a comparison of all values with their whole digests finds it then.
enum StoreKey {
  enum Area: UInt8 {
    case entries = 1
    case digests = 2
    case leaves = 3
  }

  static let systemArea: UInt8 = 4
  static let format: [UInt8] = [systemArea, 0]
  static let applied: [UInt8] = [systemArea, 1]
  static let keyspaces: [UInt8] = [systemArea, 2]
  static let sessionTable: [UInt8] = [systemArea, 3]
  static let sessions: [UInt8] = [systemArea, 4]
  /// In the order of use: what expires first comes first.
  static let sessionUses: [UInt8] = [systemArea, 5]

  /// 2 added sessions; a state of format 1 has none and is taken as it is.
  static let currentFormat: UInt32 = 2

  /// Bytes before the key proper.
  static let prefixBytes = 5

  static func prefix(_ area: Area, _ keyspace: UInt32) -> [UInt8] {
    [area.rawValue] + StoredInteger.bigEndian(keyspace)
  }

  static func session(_ id: SessionID) -> [UInt8] { sessions + id.bytes }

  static func sessionUse(_ index: LogIndex) -> [UInt8] {
    withUnsafeBytes(of: index.rawValue.bigEndian) { sessionUses + Array($0) }
  }

  static func keyspace(_ name: KeyspaceName) -> [UInt8] { keyspaces + Array(name.description.utf8) }
}

/// A store key in memory that is used again and again.
struct StoreKeyBuffer {
  private(set) var bytes: [UInt8]

  init(_ area: StoreKey.Area, _ keyspace: UInt32) {
    bytes = StoreKey.prefix(area, keyspace)
    bytes.reserveCapacity(256)
  }

  mutating func set(_ area: StoreKey.Area, _ keyspace: UInt32) {
    bytes[0] = area.rawValue
    for place in 0..<4 { bytes[1 + place] = UInt8(truncatingIfNeeded: keyspace >> UInt32(24 - 8 * place)) }
  }

  /// Lends prefix and `key` as one.
  mutating func with<R, Failure: Error>(
    _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(Failure) -> R
  ) throws(Failure) -> R {
    bytes.removeLast(bytes.count - StoreKey.prefixBytes)
    bytes.append(contentsOf: key)
    return try bytes.withBytes(body)
  }
}

/// A digest record's value.
struct StoredDigest {
  static let byteCount = Digest.byteCount + 4

  var digest: Digest
  var valueBytes: Int

  init(digest: Digest, valueBytes: Int) {
    self.digest = digest
    self.valueBytes = valueBytes
  }

  /// - Returns: `nil` if these bytes are no digest record.
  init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == Self.byteCount else { return nil }
    digest = Digest(copying: UnsafeRawBufferPointer(rebasing: bytes[..<Digest.byteCount]).bytes)
    valueBytes = Int(
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: Digest.byteCount, as: UInt32.self)))
  }

  /// Lends the encoded form.
  func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    withUnsafeTemporaryAllocation(byteCount: Self.byteCount, alignment: 8) { buffer in
      digest.withBytes { $0.withUnsafeBytes { buffer.copyMemory(from: $0) } }
      buffer.storeBytes(of: UInt32(valueBytes).littleEndian, toByteOffset: Digest.byteCount, as: UInt32.self)
      return body(UnsafeRawBufferPointer(buffer))
    }
  }
}

/// An entry's value with what checks it.
enum StoredEntry {
  static let checkBytes = 8

  /// What stands before the value.
  static func withCheck<R>(of digest: Digest, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    digest.withBytes { $0.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[..<checkBytes])) } }
  }

  /// The value in a stored entry.
  /// - Returns: `nil` if it is not what was written for `key`.
  static func value(
    in stored: UnsafeRawBufferPointer, of key: UnsafeRawBufferPointer, using hash: inout SHA256
  ) -> UnsafeRawBufferPointer? {
    guard stored.count >= checkBytes else { return nil }
    let value = UnsafeRawBufferPointer(rebasing: stored[checkBytes...])
    let digest = EntryDigest.of(key: key.bytes, value: value.bytes, using: &hash)
    let check = stored.loadUnaligned(as: UInt64.self)
    let isRight = withCheck(of: digest) { $0.loadUnaligned(as: UInt64.self) == check }
    return isRight ? value : nil
  }
}

/// A record of the system area, whole and well-formed.
enum SystemRecord {
  case format(UInt32)
  case applied(LogIndex, Term)
  case keyspace(KeyspaceRecord)
  case sessionTable(SessionTable)
  case session(SessionRecord)
  case sessionUse(SessionID, SessionUse)

  /// - Returns: `nil` for anything else.
  init?(key: [UInt8], _ value: UnsafeRawBufferPointer) {
    if key == StoreKey.format {
      guard value.count == 4, let format: UInt32 = StoredInteger.read(value, at: 0) else { return nil }
      self = .format(format)
    } else if key == StoreKey.applied {
      guard value.count == 16, let index: UInt64 = StoredInteger.read(value, at: 0),
        let term: UInt64 = StoredInteger.read(value, at: 8), index <= LogIndex.maximum.rawValue,
        term <= Term.maximum.rawValue
      else { return nil }
      self = .applied(LogIndex(index), Term(term))
    } else if key.starts(with: StoreKey.keyspaces) {
      let text = String(decoding: key.dropFirst(StoreKey.keyspaces.count), as: UTF8.self)
      guard !text.isEmpty, let name = KeyspaceName(text), value.count == 5,
        let id: UInt32 = StoredInteger.read(value, at: 0), 1..<UInt32.max ~= id,
        let kind = KeyspaceKind(rawValue: value[4])
      else { return nil }
      self = .keyspace(KeyspaceRecord(id: id, name: name, kind: kind))
    } else if key == StoreKey.sessionTable {
      guard let table = StoredSession.table(value) else { return nil }
      self = .sessionTable(table)
    } else if key.starts(with: StoreKey.sessions) {
      guard let id = SessionID(bytes: Array(key.dropFirst(StoreKey.sessions.count))),
        let record = StoredSession.record(id, value)
      else { return nil }
      self = .session(record)
    } else if key.starts(with: StoreKey.sessionUses) {
      guard let (id, use) = key.withBytes({ StoredSession.use($0, value) }) else { return nil }
      self = .sessionUse(id, use)
    } else {
      return nil
    }
  }
}

/// Little-endian integers of the system records.
enum StoredInteger {
  static func bytes(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  static func read<T: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> T? {
    guard offset + MemoryLayout<T>.size <= bytes.count else { return nil }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }
}
