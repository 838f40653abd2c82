/// Cuts content into pieces at places that depend on the content nearby, so that an insertion moves
/// no cut but those next to it (Xia et al., FastCDC, ATC 2016: gear hash, normalized chunking).
///
/// The gear hash at n is the sum over the 64 bytes before n of `gear[byte] << age`, modulo 2⁶⁴, the
/// newest byte having age 0; `gear[i]` is the first 8 bytes of SHA-256("StreamDiff gear " ‖ byte i) as
/// a big-endian integer. A piece ends at the first n above 2 KiB where the hash is below 2⁴⁹ (n up
/// to 8 KiB) or 2⁵³ (n above), and at 32 KiB at the latest. These numbers are for ever: another
/// rule would make every piece of every directory a different one. Pieces of 64 KiB on average
/// made an update of 127 MB of JSON send 64 MB of fresh pieces, these make it 37.
public enum FastCDC {
  public static let minimum = 2 << 10
  public static let average = 8 << 10
  public static let maximum = 32 << 10

  /// Bytes that the hash knows of.
  private static let window = 64
  private static let rareLimit: UInt64 = 1 << 49
  private static let commonLimit: UInt64 = 1 << 53

  private static let gear: [UInt64] = {
    var hash = SHA256()
    return (0..<256).map { index in
      hash.update(Array("StreamDiff gear ".utf8) + [UInt8(index)])
      return hash.finish().leadingWord
    }
  }()

  /// The length of the first piece. All of `bytes` if there are no more than `minimum`; for a cut that
  /// does not depend on where reading stopped, bring `maximum` bytes or all that is left.
  public static func cut(_ bytes: RawSpan) -> Int {
    guard bytes.byteCount > minimum else { return bytes.byteCount }
    let end = min(bytes.byteCount, maximum)
    return unsafe bytes.withUnsafeBytes { bytes in
      unsafe gear.withUnsafeBufferPointer { gear in
        var hash: UInt64 = 0
        for place in (minimum - window)..<minimum { hash = unsafe hash << 1 &+ gear[Int(bytes[place])] }
        let middle = min(end, average)
        if let cut = unsafe scan(bytes, minimum..<middle, rareLimit, gear, &hash) { return cut }
        return unsafe scan(bytes, middle..<end, commonLimit, gear, &hash) ?? end
      }
    }
  }

  /// - Returns: the first end of a piece behind one of `places` where the hash is below `limit`.
  @inline(__always)
  private static func scan(
    _ bytes: UnsafeRawBufferPointer, _ places: Range<Int>, _ limit: UInt64,
    _ gear: UnsafeBufferPointer<UInt64>, _ state: inout UInt64
  ) -> Int? {
    var hash = state
    var place = places.lowerBound
    while place < places.upperBound {
      hash = unsafe hash << 1 &+ gear[Int(bytes[place])]
      place += 1
      if hash < limit { return place }
    }
    state = hash
    return nil
  }
}
