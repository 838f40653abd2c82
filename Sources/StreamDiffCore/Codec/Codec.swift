/// How a chunk's plain bytes become its payload.
public enum Codec: UInt8, Hashable, Sendable {
  case none = 0
  case zstd = 1
}

/// What the controller chose for a chunk.
public struct ChunkEncoding: Hashable, Sendable {
  public var codec: Codec
  /// zstd's, −7 to 19; without meaning for `none`.
  public var level: Int32

  public init(codec: Codec, level: Int32) { (self.codec, self.level) = (codec, level) }

  public static let plain = ChunkEncoding(codec: .none, level: 0)
}

/// What a chunk's header says of its payload's frame.
public struct EncodedFrame: Hashable, Sendable {
  /// The payload starts a zstd frame; otherwise it continues the frame of the chunk before.
  public let isNewFrame: Bool
  /// Plain bytes just before this chunk that the new frame refers to; 0 within a frame.
  public let prefixLength: Int

  public init(isNewFrame: Bool, prefixLength: Int) {
    (self.isNewFrame, self.prefixLength) = (isNewFrame, prefixLength)
  }
}

public struct CodecError: Error, Hashable, Sendable {
  public enum Code: Hashable, Sendable {
    case outOfMemory
    /// The pool has no room for a trial; it may have later.
    case noRoom
    /// The bytes, or what their header says of them, are wrong.
    case malformed
    /// Beyond `Limits.chunkBytes`, or in need of a window beyond 1 MiB.
    case tooLarge
  }

  public var code: Code
  public var detail: String

  public init(_ code: Code, _ detail: String) { (self.code, self.detail) = (code, detail) }
}
