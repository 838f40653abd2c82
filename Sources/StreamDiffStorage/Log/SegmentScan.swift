import StreamDiffCore

/// A record that was under way when the machine stopped; nobody was told that it was there.
public struct TornTail: Hashable, Sendable {
  public var path: String
  /// Where the record began. It was removed from here on.
  public var offset: UInt64
  /// Bytes of it that had arrived, and were removed.
  public var bytes: UInt64
}

/// What a segment holds, after every sector of it was checked.
///
/// Each record is synced before the next is written, so when the machine stops at most one record, the
/// last of the last segment, can lack sectors. That record is *torn* and may be cut: it was never
/// acknowledged. A sector missing from any other, or one that fails its checksum anywhere in the file,
/// is *damage*: an error that names the file and the offset. A reader who wants all of them passes a
/// `report` that does not throw, and gets the records that are whole around them.
struct SegmentScan {
  typealias Report = (StorageError) throws(StorageError) -> Void

  /// Whole records, in order.
  var records: [RecordPlace] = []
  /// The first sector after them.
  var end = SegmentFile.headerSectors
  /// Sectors from `end` to the last that was written of a torn record; 0 when there is none.
  var tornSectors: UInt32 = 0
  var nextRecord: UInt32 = 1
  /// The record that each sector belongs to; 0 for blank and former ones, and for the header's.
  private var owners: [UInt32]

  /// In the place of an owner: the sector fails its checksum.
  private static let damagedSector = UInt32.max

  init(
    _ segment: SegmentFile, isLast: Bool, scratch: ScratchBuffer,
    report: Report = { (error) throws(StorageError) in throw error }
  ) throws(StorageError) {
    owners = try Self.owners(of: segment, scratch: scratch, report: report)
    while let run = run(at: end), run.owner == nextRecord {
      let promised = try Self.promisedSectors(of: segment, at: end)
      guard run.sectors == promised else { break }
      take(run.sectors)
    }
    guard let last = owners.lastIndex(where: { $0 != 0 }), last >= Int(end) else { return }
    if !owners[Int(end)...last].contains(Self.damagedSector) {
      do throws(StorageError) {
        tornSectors = try tornSectors(of: segment, isLast: isLast, through: UInt32(last))
        return
      } catch {
        try report(error)
      }
    }
    try salvage(segment, isLast: isLast, through: UInt32(last), report: report)
  }

  /// - Throws: `.damaged` when what lies behind the whole records is anything but one torn record.
  private func tornSectors(
    of segment: SegmentFile, isLast: Bool, through last: UInt32
  ) throws(StorageError) -> UInt32 {
    let (number, count) = (nextRecord, UInt32(owners.count))
    let missing = (end..<count).first { owners[Int($0)] != number } ?? count
    guard isLast else {
      throw segment.damaged(missing, "record \(number) lacks this sector, and a later segment exists")
    }
    for sector in end...last where owners[Int(sector)] != 0 && owners[Int(sector)] != number {
      throw segment.damaged(missing, "record \(number) lacks this sector, and a later record exists")
    }
    if owners[Int(end)] == number {
      let promised = try Self.promisedSectors(of: segment, at: end)
      guard last < end + promised else {
        throw segment.damaged(end + promised, "sector of record \(number) lies behind its end")
      }
    }
    return last + 1 - end
  }

  /// Finds the whole records behind the first damage. What is missing beside a sector that was reported
  /// is not reported again.
  private mutating func salvage(
    _ segment: SegmentFile, isLast: Bool, through last: UInt32, report: Report
  ) throws(StorageError) {
    // The record at `end` is the one that was reported, if it is not a whole one.
    var (sector, isNamed) = (end, true)
    while sector <= last, let run = run(at: sector) {
      let following = sector + run.sectors
      guard run.owner != 0, run.owner != Self.damagedSector else {
        (sector, isNamed) = (following, run.owner == Self.damagedSector)
        continue
      }
      let isBesideDamage =
        isNamed || following <= last && owners[Int(following)] == Self.damagedSector
      if try run.sectors == Self.promisedSectors(of: segment, at: sector) {
        (end, nextRecord) = (sector, run.owner)
        take(run.sectors)
      } else if isLast && following > last && !isBesideDamage {
        tornSectors = run.sectors
      } else if !isBesideDamage {
        try report(segment.damaged(sector, "record \(run.owner) lacks sectors here"))
      }
      (sector, isNamed) = (following, false)
    }
  }

  private mutating func take(_ sectors: UInt32) {
    records.append(RecordPlace(number: nextRecord, sector: end, sectors: sectors))
    (end, nextRecord) = (end + sectors, nextRecord + 1)
  }

  /// Neighbouring sectors of one owner; `nil` past the end of the file.
  private func run(at start: UInt32) -> (owner: UInt32, sectors: UInt32)? {
    guard start < owners.count else { return nil }
    let owner = owners[Int(start)]
    let end = owners[Int(start)...].firstIndex { $0 != owner } ?? owners.count
    return (owner, UInt32(end) - start)
  }

  private static func owners(
    of segment: SegmentFile, scratch: ScratchBuffer, report: Report
  ) throws(StorageError) -> [UInt32] {
    var owners = [UInt32](repeating: 0, count: Int(segment.header.sectors))
    let block = UInt32(blockBytes / Sector.bytes)
    var start = SegmentFile.headerSectors
    while start < segment.header.sectors {
      let count = min(block, segment.header.sectors - start)
      let buffer = scratch.bytes(Int(count) * Sector.bytes)
      let read = try segment.file.read(into: buffer, at: UInt64(start) * UInt64(Sector.bytes))
      guard read == buffer.count, let base = buffer.baseAddress else {
        throw segment.damaged(start, "file is shorter than its header says")
      }
      for index in 0..<count {
        let number = start + index
        let sector = base + Int(index) * Sector.bytes
        switch Sector.state(of: sector, number: number, generation: segment.generation) {
        case .blank, .former: continue
        case .written(let record) where record > 0 && record < damagedSector: owners[Int(number)] = record
        case .written, .damaged:
          try report(segment.damaged(number, "sector fails its checksum"))
          owners[Int(number)] = damagedSector
        }
      }
      start += count
    }
    return owners
  }

  private static let blockBytes = 1 << 20

  private static func promisedSectors(of segment: SegmentFile, at sector: UInt32) throws(StorageError)
    -> UInt32
  {
    var length: UInt32 = 0
    try withUnsafeMutableBytes(of: &length) { (buffer) throws(StorageError) in
      _ = try segment.file.read(into: buffer, at: UInt64(sector) * UInt64(Sector.bytes))
    }
    return UInt32(RecordBuffer.sectors(forBody: Int(UInt32(littleEndian: length))))
  }
}
