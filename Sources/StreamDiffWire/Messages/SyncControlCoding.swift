import CStreamDiffProtos
import StreamDiffCore

// The control messages of a session, one by one. What a machine of Core checks is not checked here;
// what its types cannot hold is.

extension Hello {
  init(_ message: Streamdiff__V1__Hello) throws(WireError) {
    let name = try ProtoCoding.string(message.keyspace, "keyspace")
    guard let keyspace = KeyspaceName(name) else {
      throw WireError(.malformed, "keyspace \"\(name.prefix(200))\": 1 to 128 of A-Z a-z 0-9 . _ -")
    }
    guard let number = UInt8(exactly: message.role.rawValue), let role = SyncRole(rawValue: number) else {
      throw WireError(.malformed, "hello names no role that is known: \(message.role.rawValue)")
    }
    self.init(role: role, keyspace: keyspace)
    version = message.version
    kind = KeyspaceKind(message.kind)
    session = try ProtoCoding.session(message.session)
    root = try ProtoCoding.digest(message.root, "root")
    entries = message.entries
    bytes = message.bytes
    index = LogIndex(message.index)
    salt = message.salt
    lastOrdinal = try ProtoCoding.ordinal(message.last_ordinal, "last_ordinal")
    credit = message.credit
    isCompareOnly = message.compare_only != 0
    resumes = message.resumes != 0
  }

  func fill(_ message: inout Streamdiff__V1__Hello, _ arena: inout MessageArena) {
    message.role = .init(rawValue: UInt32(role.rawValue))
    message.version = version
    message.keyspace = arena.string(keyspace.description)
    message.kind = .init(kind)
    message.session = arena.bytes(session?.bytes ?? [])
    message.root = arena.bytes(root?.bytes ?? [])
    message.entries = entries
    message.bytes = bytes
    message.index = index.rawValue
    message.salt = salt
    message.last_ordinal = lastOrdinal.rawValue
    message.credit = credit
    message.compare_only = isCompareOnly ? 1 : 0
    message.resumes = resumes ? 1 : 0
  }
}

extension Expand {
  init(_ message: Streamdiff__V1__Expand) throws(WireError) {
    guard let number = UInt8(exactly: message.mode.rawValue), let mode = Mode(rawValue: number) else {
      throw WireError(.unsupported, "expand mode \(message.mode.rawValue)")
    }
    guard message.n_first == message.n_length else {
      throw WireError(.malformed, "expand: \(message.n_first) starts of runs, \(message.n_length) lengths")
    }
    var runs: [Range<UInt32>] = []
    runs.reserveCapacity(message.n_first)
    for place in 0..<message.n_first {
      let (end, overflow) = message.first[place].addingReportingOverflow(message.length[place])
      guard !overflow else { throw WireError(.malformed, "expand run \(place) ends beyond 32 bits") }
      runs.append(message.first[place]..<end)
    }
    self.init(
      request: message.request, source: message.source, mode: mode, runs: runs,
      release: Array(message.release, count: message.n_release))
  }

  func fill(_ message: inout Streamdiff__V1__Expand, _ arena: inout MessageArena) {
    message.request = request
    message.source = source
    message.mode = .init(rawValue: UInt32(mode.rawValue))
    message.n_first = runs.count
    message.first = arena.array(copying: runs.map(\.lowerBound))
    message.n_length = runs.count
    message.length = arena.array(copying: runs.map { $0.upperBound - $0.lowerBound })
    message.n_release = release.count
    message.release = arena.array(copying: release)
  }
}

extension Frontier {
  init(_ message: Streamdiff__V1__Frontier) throws(WireError) {
    let bytes = UnsafeRawBufferPointer(start: message.fingerprints.data, count: message.fingerprints.len)
    guard bytes.count % 8 == 0 else {
      throw WireError(.malformed, "\(bytes.count) bytes of fingerprints; each has 8")
    }
    var keys: [KeyDigest] = []
    keys.reserveCapacity(message.n_keys)
    for place in 0..<message.n_keys {
      let key = message.keys[place]!.pointee
      guard let digest = try ProtoCoding.digest(key.digest, "digest") else {
        throw WireError(.malformed, "key \(place) of a frontier has no digest")
      }
      keys.append(KeyDigest(key: [UInt8](key.key), digest: digest))
    }
    self.init(
      request: message.request,
      fingerprints: stride(from: 0, to: bytes.count, by: 8).map {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
      },
      counts: Array(message.counts, count: message.n_counts),
      sizes: Array(message.sizes, count: message.n_sizes), keys: keys)
  }

  func fill(_ message: inout Streamdiff__V1__Frontier, _ arena: inout MessageArena) {
    message.request = request
    message.fingerprints = arena.littleEndian(fingerprints)
    message.n_counts = counts.count
    message.counts = arena.array(copying: counts)
    message.n_sizes = sizes.count
    message.sizes = arena.array(copying: sizes)
    message.n_keys = keys.count
    message.keys = arena.messages(keys, streamdiff__v1__key_digest__init) {
      $0.key = $2.bytes($1.key)
      $0.digest = $2.bytes($1.digest.bytes)
    }
  }
}

extension MessageArena {
  fileprivate mutating func littleEndian(_ words: [UInt64]) -> ProtobufCBinaryData {
    let copy = UnsafeMutableRawBufferPointer(
      start: array(of: UInt8.self, count: 8 * words.count), count: 8 * words.count)
    for (place, word) in words.enumerated() {
      copy.storeBytes(of: word.littleEndian, toByteOffset: 8 * place, as: UInt64.self)
    }
    return ProtobufCBinaryData(len: copy.count, data: copy.bindMemory(to: UInt8.self).baseAddress)
  }
}

extension Ack {
  init(_ message: Streamdiff__V1__Ack) throws(WireError) {
    self.init(
      ordinal: try ProtoCoding.ordinal(message.ordinal, "ordinal"), index: LogIndex(message.index),
      conflicts: message.conflicts)
  }

  func fill(_ message: inout Streamdiff__V1__Ack) {
    message.ordinal = ordinal.rawValue
    message.index = index.rawValue
    message.conflicts = conflicts
  }
}

extension SealResult {
  init(_ message: Streamdiff__V1__SealResult) throws(WireError) {
    guard let root = try ProtoCoding.digest(message.root, "root") else {
      throw WireError(.malformed, "a seal result has no root")
    }
    self.init(
      index: LogIndex(message.index), root: root, entries: message.entries, bytes: message.bytes,
      isEqual: message.equal != 0, salt: message.salt, conflicts: message.conflicts)
  }

  func fill(_ message: inout Streamdiff__V1__SealResult, _ arena: inout MessageArena) {
    message.index = index.rawValue
    message.root = arena.bytes(root.bytes)
    message.entries = entries
    message.bytes = bytes
    message.equal = isEqual ? 1 : 0
    message.salt = salt
    message.conflicts = conflicts
  }
}
