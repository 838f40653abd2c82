import CStreamDiffProtos
public import NIOCore
public import StreamDiffCore

/// Reads a range of keys in order.
public struct ScanRequest: WireMessage {
  /// "" is "default".
  public var keyspace: String
  /// Only keys that begin with it.
  public var prefix: [UInt8]
  /// Only keys beyond it; empty: from the first.
  public var after: [UInt8]
  /// Entries; 0: all.
  public var limit: UInt64
  public var keysOnly: Bool

  public init(
    keyspace: String = "", prefix: [UInt8] = [], after: [UInt8] = [], limit: UInt64 = 0,
    keysOnly: Bool = false
  ) {
    (self.keyspace, self.prefix, self.after) = (keyspace, prefix, after)
    (self.limit, self.keysOnly) = (limit, keysOnly)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__scan_request__unpack) { message throws(WireError) in
      Self(
        keyspace: try ProtoCoding.string(message.keyspace, "keyspace"), prefix: [UInt8](message.prefix),
        after: [UInt8](message.after), limit: message.limit, keysOnly: message.keys_only != 0)
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__ScanRequest(), streamdiff__v1__scan_request__init) {
      $0.keyspace = $1.string(keyspace)
      $0.prefix = $1.bytes(prefix)
      $0.after = $1.bytes(after)
      $0.limit = limit
      $0.keys_only = keysOnly ? 1 : 0
    }
  }
}

/// A page of at most 256 KiB, or one larger entry; keys rise over the whole answer.
public struct ScanResponse: WireMessage {
  public struct Entry: Hashable, Sendable {
    public var key: [UInt8]
    /// Empty when only keys were asked for.
    public var value: [UInt8]

    public init(key: [UInt8], value: [UInt8] = []) {
      (self.key, self.value) = (key, value)
    }
  }

  public var entries: [Entry]
  /// The applied index of the view, the same on every page.
  public var index: LogIndex
  /// Of the keyspace; `nil` when that is absent.
  public var kind: KeyspaceKind?

  public init(entries: [Entry], index: LogIndex, kind: KeyspaceKind?) {
    (self.entries, self.index, self.kind) = (entries, index, kind)
  }

  /// Entries may be as small as a key of one byte, so that a page may unpack to many times its size.
  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, amplification: 32, streamdiff__v1__scan_response__unpack) {
      message in
      Self(
        entries: (0..<message.n_entries).map {
          let entry = message.entries[$0]!.pointee
          return Entry(key: [UInt8](entry.key), value: [UInt8](entry.value))
        },
        index: LogIndex(message.index), kind: KeyspaceKind(message.kind))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__ScanResponse(), streamdiff__v1__scan_response__init) {
      $0.n_entries = entries.count
      $0.entries = $1.messages(entries, streamdiff__v1__scan_entry__init) {
        $0.key = $2.bytes($1.key)
        $0.value = $2.bytes($1.value)
      }
      $0.index = index.rawValue
      $0.kind = .init(kind)
    }
  }
}
