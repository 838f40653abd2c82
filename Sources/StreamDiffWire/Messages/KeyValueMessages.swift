import CStreamDiffProtos
public import NIOCore
public import StreamDiffCore

/// Reads one key.
public struct GetRequest: WireMessage {
  /// "" is "default".
  public var keyspace: String
  public var key: [UInt8]

  public init(keyspace: String = "", key: [UInt8]) {
    (self.keyspace, self.key) = (keyspace, key)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__get_request__unpack) { message throws(WireError) in
      Self(keyspace: try ProtoCoding.string(message.keyspace, "keyspace"), key: [UInt8](message.key))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__GetRequest(), streamdiff__v1__get_request__init) {
      $0.keyspace = $1.string(keyspace)
      $0.key = $1.bytes(key)
    }
  }
}

public struct GetResponse: WireMessage {
  /// `nil`: the key is absent.
  public var value: [UInt8]?
  /// The applied index it was served at.
  public var index: LogIndex
  /// Of the keyspace; `nil` when that is absent too.
  public var kind: KeyspaceKind?

  public init(value: [UInt8]?, index: LogIndex, kind: KeyspaceKind?) {
    (self.value, self.index, self.kind) = (value, index, kind)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__get_response__unpack) { message in
      Self(
        value: message.found != 0 ? [UInt8](message.value) : nil, index: LogIndex(message.index),
        kind: KeyspaceKind(message.kind))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.lend(value ?? []) { value in
      ProtoCoding.encode(into: &buffer, Streamdiff__V1__GetResponse(), streamdiff__v1__get_response__init) {
        message, _ in
        message.found = self.value == nil ? 0 : 1
        message.value = value
        message.index = index.rawValue
        message.kind = .init(kind)
      }
    }
  }
}

/// Writes one key.
public struct PutRequest: WireMessage {
  /// "" is "default".
  public var keyspace: String
  public var key: [UInt8]
  public var value: [UInt8]
  /// What the put replaces; `.any` replaces whatever is there.
  public var expectation: Expectation
  public var session: SessionID?
  /// Within the session.
  public var ordinal: Ordinal

  public init(
    keyspace: String = "", key: [UInt8], value: [UInt8], expectation: Expectation = .any,
    session: SessionID? = nil, ordinal: Ordinal = .zero
  ) {
    (self.keyspace, self.key, self.value) = (keyspace, key, value)
    (self.expectation, self.session, self.ordinal) = (expectation, session, ordinal)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__put_request__unpack) { message throws(WireError) in
      Self(
        keyspace: try ProtoCoding.string(message.keyspace, "keyspace"), key: [UInt8](message.key),
        value: [UInt8](message.value),
        expectation: message.condition_case == STREAMDIFF__V1__PUT_REQUEST__CONDITION_EXPECTED
          ? try ProtoCoding.expectation(message.expected) : .any,
        session: try ProtoCoding.session(message.session),
        ordinal: try ProtoCoding.ordinal(message.ordinal, "ordinal"))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.lend(value) { value in
      ProtoCoding.encode(into: &buffer, Streamdiff__V1__PutRequest(), streamdiff__v1__put_request__init) {
        $0.keyspace = $1.string(keyspace)
        $0.key = $1.bytes(key)
        $0.value = value
        if let expected = ProtoCoding.expected(expectation) {
          $0.condition_case = STREAMDIFF__V1__PUT_REQUEST__CONDITION_EXPECTED
          $0.expected = $1.bytes(expected)
        }
        $0.session = $1.bytes(session?.bytes ?? [])
        $0.ordinal = ordinal.rawValue
      }
    }
  }
}

/// Removes one key.
public struct DeleteRequest: WireMessage {
  /// "" is "default".
  public var keyspace: String
  public var key: [UInt8]
  /// What the delete removes; `.any` removes whatever is there.
  public var expectation: Expectation
  public var session: SessionID?
  /// Within the session.
  public var ordinal: Ordinal

  public init(
    keyspace: String = "", key: [UInt8], expectation: Expectation = .any, session: SessionID? = nil,
    ordinal: Ordinal = .zero
  ) {
    (self.keyspace, self.key, self.expectation) = (keyspace, key, expectation)
    (self.session, self.ordinal) = (session, ordinal)
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__delete_request__unpack) {
      message throws(WireError) in
      Self(
        keyspace: try ProtoCoding.string(message.keyspace, "keyspace"), key: [UInt8](message.key),
        expectation: message.condition_case == STREAMDIFF__V1__DELETE_REQUEST__CONDITION_EXPECTED
          ? try ProtoCoding.expectation(message.expected) : .any,
        session: try ProtoCoding.session(message.session),
        ordinal: try ProtoCoding.ordinal(message.ordinal, "ordinal"))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__DeleteRequest(), streamdiff__v1__delete_request__init) {
      $0.keyspace = $1.string(keyspace)
      $0.key = $1.bytes(key)
      if let expected = ProtoCoding.expected(expectation) {
        $0.condition_case = STREAMDIFF__V1__DELETE_REQUEST__CONDITION_EXPECTED
        $0.expected = $1.bytes(expected)
      }
      $0.session = $1.bytes(session?.bytes ?? [])
      $0.ordinal = ordinal.rawValue
    }
  }
}

public struct PutResponse: WireMessage {
  /// The log index that applied it.
  public var index: LogIndex

  public init(index: LogIndex) {
    self.index = index
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__put_response__unpack) { message in
      Self(index: LogIndex(message.index))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(into: &buffer, Streamdiff__V1__PutResponse(), streamdiff__v1__put_response__init) {
      message, _ in message.index = index.rawValue
    }
  }
}

public struct DeleteResponse: WireMessage {
  /// The log index that applied it.
  public var index: LogIndex

  public init(index: LogIndex) {
    self.index = index
  }

  public init(decoding bytes: ByteBuffer) throws(WireError) {
    self = try ProtoCoding.decode(bytes, streamdiff__v1__delete_response__unpack) { message in
      Self(index: LogIndex(message.index))
    }
  }

  public func encode(into buffer: inout ByteBuffer) {
    ProtoCoding.encode(
      into: &buffer, Streamdiff__V1__DeleteResponse(), streamdiff__v1__delete_response__init
    ) { message, _ in message.index = index.rawValue }
  }
}
