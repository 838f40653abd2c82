import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

@Suite("Damage in the log")
struct LogDamageTests {
  /// Three segments: records of one entry and of many, hard states, a recycled file with a former life.
  private static func example() throws -> (VirtualDisk, [LogEntry]) {
    let disk = VirtualDisk()
    let log = try openLog(on: disk)
    var next: UInt64 = 1
    while log.firstIndex == LogIndex(1) || next < 80 {
      try log.append(entries(next...next + 4, bytes: 200))
      try log.sync()
      try log.append(entries(next + 5...next + 5, bytes: 40))
      try log.save(HardState(term: Term(1), vote: NodeID(1), commit: LogIndex(next)))
      try log.sync()
      next += 6
      if next > 60 { try log.drop(through: LogIndex(next - 40)) }
    }
    while log.retainedBytes < 40 << 10 {
      try log.append(entries(next...next + 2, bytes: 300))
      try log.sync()
      next += 3
    }
    return (disk, try contents(log))
  }

  @Test("every flipped bit of every segment is found and named by file and offset")
  func flippedBits() throws {
    let (disk, _) = try Self.example()
    let segments = disk.files(in: "log").filter { $0.contains("/log-") }
    #expect(segments.count >= 3)
    var random = SeededRandom(seed: 7)
    for path in segments {
      let size = disk.contents(path).count
      // One bit in each 64 bytes of the file, wherever it falls: records, header, prefill, former life.
      for start in stride(from: 0, to: size, by: 64) {
        let offset = start + Int.random(in: 0..<64, using: &random)
        let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
        disk.mutate(path) { $0[offset] ^= bit }
        do {
          _ = try openLog(on: disk)
          Issue.record("opened with a flipped bit at \(path) \(offset)")
        } catch {
          #expect(error.code == .damaged)
          #expect(error.path == path)
          #expect(error.offset == UInt64(offset) / 512 * 512, "\(error)")
        }
        disk.mutate(path) { $0[offset] ^= bit }
      }
    }
    _ = try openLog(on: disk)
  }

  @Test("every bit of a log of one record: its length, kinds, checksums and all")
  func everyBit() throws {
    let disk = VirtualDisk()
    let log = try openLog(on: disk, segmentBytes: 8 << 10)
    try log.append(entries(1...2, bytes: 20))
    try log.sync()
    let path = "log/log-0000000000000001"
    for offset in (0..<512).map({ $0 }) + (4096..<4608).map({ $0 }) {
      for bit in 0..<8 {
        disk.mutate(path) { $0[offset] ^= 1 << bit }
        do {
          _ = try openLog(on: disk, segmentBytes: 8 << 10)
          Issue.record("opened with bit \(bit) of byte \(offset) flipped")
        } catch {
          #expect(error.code == .damaged && error.offset == UInt64(offset) / 512 * 512)
        }
        disk.mutate(path) { $0[offset] ^= 1 << bit }
      }
    }
    #expect(try contents(try openLog(on: disk, segmentBytes: 8 << 10)) == entries(1...2, bytes: 20))
  }

  @Test("a bit that flips while the log is open is never served")
  func whileOpen() throws {
    let disk = VirtualDisk()
    let log = try openLog(on: disk)
    for index in 1...9 as ClosedRange<UInt64> {
      try log.append(entries(index...index))
      try log.sync()
    }
    disk.mutate("log/log-0000000000000001") { $0[4096 + 3 * 512 + 77] ^= 4 }
    #expect(try log.entries(LogIndex(1)..<LogIndex(4), maximumBytes: .max) == entries(1...3))
    do {
      _ = try log.entries(LogIndex(1)..<LogIndex(9), maximumBytes: .max)
      Issue.record("served")
    } catch {
      #expect(error.code == .damaged && error.offset == 4096 + 3 * 512)
      #expect(error.path == "log/log-0000000000000001")
    }
  }

  @Test("a sector lost from a record that others follow is damage; from the last record it is a torn tail")
  func lostSectors() throws {
    let disk = VirtualDisk()
    var log = try openLog(on: disk)
    for index in 1...5 as ClosedRange<UInt64> {
      try log.append(entries(index...index, bytes: 1200))  // three sectors
      try log.sync()
    }
    let path = "log/log-0000000000000001"
    let whole = disk.contents(path)
    for sector in 8..<23 {
      disk.mutate(path) {
        $0.replaceSubrange(sector * 512..<sector * 512 + 512, with: repeatElement(0, count: 512))
      }
      if sector < 20 {
        do {
          _ = try openLog(on: disk)
          Issue.record("opened without sector \(sector)")
        } catch {
          #expect(error.code == .damaged && error.offset == UInt64(sector) * 512 && error.path == path)
        }
      } else {
        log = try openLog(on: disk)
        #expect(try contents(log) == entries(1...4, bytes: 1200))
        #expect(log.tornTail?.path == path && log.tornTail?.offset == 20 * 512)
        // What was cut is gone for good: a second start finds a clean end, and appends work.
        log = try openLog(on: disk)
        #expect(log.tornTail == nil && log.lastIndex == LogIndex(4))
        try log.append(entries(5...5, bytes: 10))
        try log.sync()
        #expect(
          try contents(try openLog(on: disk)) == entries(1...4, bytes: 1200) + entries(5...5, bytes: 10))
      }
      disk.mutate(path) { $0 = whole }
    }
  }

  @Test("a missing segment is named: in the middle, and at the end, once its predecessor is sealed")
  func missingSegments() throws {
    let (disk, _) = try Self.example()
    let segments = disk.files(in: "log").filter { $0.contains("/log-") }
    for path in segments.dropFirst() {
      let bytes = disk.contents(path)
      disk.erase(path)
      do {
        _ = try openLog(on: disk)
        Issue.record("opened without \(path)")
      } catch { #expect(error.code == .damaged && error.path == path) }
      disk.plant(path, [])
      disk.mutate(path) { $0 = bytes }
    }
    _ = try openLog(on: disk)
  }

  @Test("a segment cut short, grown, emptied or swapped for another is named")
  func foreignSegments() throws {
    let (disk, _) = try Self.example()
    let segments = disk.files(in: "log").filter { $0.contains("/log-") }
    let (first, second) = (segments[0], segments[1])
    let (one, two) = (disk.contents(first), disk.contents(second))
    for bytes in [Array(two.dropLast(512)), two + [UInt8](repeating: 0, count: 512), [], one] {
      disk.mutate(second) { $0 = bytes }
      do {
        _ = try openLog(on: disk)
        Issue.record("opened")
      } catch { #expect(error.code == .damaged && error.path == second) }
    }
    disk.mutate(second) { $0 = two }
    _ = try openLog(on: disk)
  }

  @Test("a log of a newer format is refused as such, not as damage")
  func newerFormat() throws {
    let disk = VirtualDisk()
    try openLog(on: disk).close()
    disk.mutate("log/log-0000000000000001") { bytes in
      bytes[17] = 2  // behind the record's head, the item's kind and the magic
      let crc = CRC32C([0, 0, 0, 0]).extended(over: Array(bytes[..<508])).masked
      for place in 0..<4 { bytes[508 + place] = UInt8(truncatingIfNeeded: crc >> UInt32(8 * place)) }
    }
    do {
      _ = try openLog(on: disk)
      Issue.record("opened")
    } catch { #expect(error.code == .newerFormat, "\(error)") }
  }
}
