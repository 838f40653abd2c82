import StreamDiffCore

/// The log's unit on disk: 512 bytes, written whole or not at all.
///
/// ```text
///   0  496  payload
/// 496    8  generation of the segment, little-endian; rises with every life of a file
/// 504    4  number of the record within the segment, little-endian; 0 is the segment's header
/// 508    4  masked CRC32C of the number of the sector in its file (u32 little-endian) and bytes 0 to 507
/// ```
///
/// No sector is written twice in one life, so each is in one of four states, and only the last of
/// them is anybody's fault:
/// - *written*: the checksum holds and the generation is the segment's;
/// - *former*: the checksum holds and the generation is lower: left from the file's earlier life;
/// - *blank*: 512 zeros: never written;
/// - *damaged*: anything else. CRC32C finds any five flipped bits in so few bytes, so that neither a
///   written sector can pass for a blank or former one, nor the other way round.
enum Sector {
  static let bytes = 512
  static let payloadBytes = 496
  /// Sectors in a page: writes end on page boundaries, or the kernel would read the page first.
  static let perPage = 8

  enum State: Equatable {
    case blank, former, damaged
    case written(record: UInt32)
  }

  /// Completes a sector whose payload is in place.
  static func stamp(
    _ sector: UnsafeMutableRawPointer, number: UInt32, generation: UInt64, record: UInt32
  ) {
    sector.storeBytes(of: generation.littleEndian, toByteOffset: 496, as: UInt64.self)
    sector.storeBytes(of: record.littleEndian, toByteOffset: 504, as: UInt32.self)
    let crc = checksum(UnsafeRawPointer(sector), number: number).masked
    sector.storeBytes(of: crc.littleEndian, toByteOffset: 508, as: UInt32.self)
  }

  static func state(of sector: UnsafeRawPointer, number: UInt32, generation: UInt64) -> State {
    let found = UInt64(littleEndian: sector.loadUnaligned(fromByteOffset: 496, as: UInt64.self))
    if found == 0 && isZero(sector) { return .blank }
    let crc = UInt32(littleEndian: sector.loadUnaligned(fromByteOffset: 508, as: UInt32.self))
    guard found > 0, found <= generation, CRC32C(masked: crc) == checksum(sector, number: number) else {
      return .damaged
    }
    guard found == generation else { return .former }
    return .written(record: UInt32(littleEndian: sector.loadUnaligned(fromByteOffset: 504, as: UInt32.self)))
  }

  private static func checksum(_ sector: UnsafeRawPointer, number: UInt32) -> CRC32C {
    let place = withUnsafeBytes(of: number.littleEndian) { CRC32C($0.bytes) }
    return place.extended(over: UnsafeRawBufferPointer(start: sector, count: 508).bytes)
  }

  private static func isZero(_ sector: UnsafeRawPointer) -> Bool {
    var bits: UInt64 = 0
    for offset in stride(from: 0, to: bytes, by: 8) {
      bits |= sector.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
    return bits == 0
  }
}
