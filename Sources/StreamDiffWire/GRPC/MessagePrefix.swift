/// gRPC Length-Prefixed-Message: byte 0 is the compressed flag, bytes 1 to 4 the big-endian length.
public struct MessagePrefix: Hashable, Sendable {
  public static let size = 5

  public let length: Int

  /// - Parameter length: of the message, under 4 GiB.
  public init(length: Int) { self.length = length }

  /// - Throws: `.unsupported` for a compressed message, `.tooLarge` for one over `limit` bytes, `.malformed`.
  public init(reading bytes: Span<UInt8>, limit: Int) throws(WireError) {
    precondition(bytes.count >= Self.size, "a message prefix of \(bytes.count) bytes")
    let length = (1..<Self.size).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[$1]) }
    try self.init(flag: bytes[0], length: length, limit: limit)
  }

  init(flag: UInt8, length: UInt32, limit: Int) throws(WireError) {
    guard flag <= 1 else { throw WireError(.malformed, "compressed flag \(flag)") }
    guard flag == 0 else {
      throw WireError(.unsupported, "a compressed message: only identity is understood")
    }
    guard length <= limit else { throw WireError(.tooLarge, "a message of \(length) bytes exceeds \(limit)") }
    self.length = Int(length)
  }

  /// Writes the prefix of an uncompressed message at the start of `room`.
  ///
  /// - Returns: `size`.
  func store(to room: UnsafeMutableRawBufferPointer) -> Int {
    room[0] = 0
    room.storeBytes(of: UInt32(length).bigEndian, toByteOffset: 1, as: UInt32.self)
    return Self.size
  }
}
