/// How a chunk's payload is encoded, and the checksums around it: `ChunkHeader` in streamdiff.proto.
public struct ChunkHeader: Hashable, Sendable {
  /// Of the first operation that begins in this chunk or after it.
  public var firstOrdinal: Ordinal
  /// Bytes after decoding; at most `Limits.chunkBytes`.
  public var plainLength: UInt32
  public var codec: Codec
  /// zstd: a new frame starts with this chunk.
  public var isNewFrame: Bool
  /// zstd, new frame: how many of the last plain bytes are its prefix.
  public var prefixLength: UInt32
  /// Over the plain bytes.
  public var plainCRC: CRC32C
  /// Over header fields and payload as sent.
  public var wireCRC: CRC32C

  public init(
    firstOrdinal: Ordinal, plainLength: UInt32, codec: Codec = .none, isNewFrame: Bool = false,
    prefixLength: UInt32 = 0, plainCRC: CRC32C, wireCRC: CRC32C
  ) {
    self.firstOrdinal = firstOrdinal
    self.plainLength = plainLength
    self.codec = codec
    self.isNewFrame = isNewFrame
    self.prefixLength = prefixLength
    self.plainCRC = plainCRC
    self.wireCRC = wireCRC
  }
}

/// The unit on the wire: a piece of a session's operation stream.
public struct Chunk: Hashable, Sendable {
  public var header: ChunkHeader
  /// Rises by one; the first of a connection may be any from 1 on.
  public var sequence: UInt64
  /// The sender's smoothed round-trip time; 0 while unknown.
  public var rttMilliseconds: UInt32
  /// The end of a patch: verify, seal, answer.
  public var isLast: Bool
  public var payload: [UInt8]

  public init(
    header: ChunkHeader, sequence: UInt64, rttMilliseconds: UInt32 = 0, isLast: Bool, payload: [UInt8]
  ) {
    self.header = header
    self.sequence = sequence
    self.rttMilliseconds = rttMilliseconds
    self.isLast = isLast
    self.payload = payload
  }

  /// What `header.wireCRC` must be: CRC-32C over these 34 bytes, little-endian, then the payload:
  ///
  ///     sequence u64 | first ordinal u64 | plain length u32 | codec u8 | flags u8 (bit 0 new frame,
  ///     bit 1 last chunk) | prefix length u32 | plain CRC u32 | payload length u32
  public var computedWireCRC: CRC32C { wireCRC(payload: CRC32C(payload)) }

  /// The same, where the payload's own checksum is known: of an uncompressed one it is the plain one.
  func wireCRC(payload checksum: CRC32C) -> CRC32C {
    var fields: [UInt8] = []
    fields.reserveCapacity(34)
    fields.append(littleEndian: sequence)
    fields.append(littleEndian: header.firstOrdinal.rawValue)
    fields.append(littleEndian: header.plainLength)
    fields.append(header.codec.rawValue)
    fields.append((header.isNewFrame ? 1 : 0) | (isLast ? 2 : 0))
    fields.append(littleEndian: header.prefixLength)
    fields.append(littleEndian: header.plainCRC.rawValue)
    fields.append(littleEndian: UInt32(payload.count))
    return CRC32C(fields).extended(by: checksum, of: payload.count)
  }
}
