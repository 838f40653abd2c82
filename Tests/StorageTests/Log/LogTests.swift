import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

func entries(_ indices: ClosedRange<UInt64>, term: UInt64 = 1, bytes: Int = 100) -> [LogEntry] {
  indices.map { index in
    let payload = (0..<bytes).map { UInt8(truncatingIfNeeded: Int(index) &* 31 &+ $0 &* 7 &+ Int(term)) }
    return LogEntry(index: LogIndex(index), term: Term(term), payload: payload)
  }
}

func openLog(
  _ path: String = "log", on fileSystem: any FileSystem, segmentBytes: Int = 16 << 10
) throws(StorageError) -> WriteAheadLog {
  try WriteAheadLog(
    opening: path, fileSystem: fileSystem, segmentBytes: segmentBytes, preparesSpares: false)
}

/// Everything the log holds.
func contents(_ log: WriteAheadLog) throws(StorageError) -> [LogEntry] {
  try log.entries(log.firstIndex..<log.lastIndex + 1, maximumBytes: .max)
}

@Suite("Write-ahead log")
struct LogTests {
  @Test("what was synced is there after a restart, on disk and in memory", arguments: [100, 1, 0, 3000])
  func reopen(bytes: Int) throws {
    let directory = TemporaryDirectory()
    for fileSystem: any FileSystem in [PosixFileSystem(), VirtualDisk()] {
      let log = try openLog(directory.path + "/log", on: fileSystem)
      #expect(log.firstIndex == LogIndex(1) && log.lastIndex == .zero && log.hardState == HardState())
      let written = entries(1...200, bytes: bytes)
      for start in stride(from: 0, to: 200, by: 7) {
        try log.append(Array(written[start..<min(start + 7, 200)]))
        try log.save(HardState(term: Term(1), vote: NodeID(1), commit: LogIndex(UInt64(start))))
        try log.sync()
      }
      #expect(try contents(log) == written)
      log.close()
      let again = try openLog(directory.path + "/log", on: fileSystem)
      #expect(again.tornTail == nil)
      #expect(try contents(again) == written)
      #expect(again.hardState == HardState(term: Term(1), vote: NodeID(1), commit: LogIndex(196)))
      #expect(again.lastTerm == Term(1))
    }
  }

  @Test("what was gathered is read before it is written, and gone when it never was")
  func gathered() throws {
    let disk = VirtualDisk()
    let log = try openLog(on: disk)
    try log.append(entries(1...3))
    try log.sync()
    try log.append(entries(4...5, term: 2))
    #expect(try contents(log) == entries(1...3) + entries(4...5, term: 2))
    #expect(log.term(at: LogIndex(4)) == Term(2) && log.term(at: LogIndex(6)) == nil)
    #expect(log.lastTerm == Term(2))
    #expect(try contents(try openLog(on: disk)) == entries(1...3))
  }

  @Test("one sync serves all that was gathered; nothing gathered costs nothing")
  func groupCommit() throws {
    let disk = VirtualDisk()
    let log = try openLog(on: disk)
    let before = disk.syncs.count
    for index in 1...20 as ClosedRange<UInt64> { try log.append(entries(index...index)) }
    try log.save(HardState(term: Term(3)))
    try log.sync()
    try log.sync()
    #expect(disk.syncs.dropFirst(before) == [.logRecord])
  }

  @Test("reads stop at their byte bound and bring at least one entry")
  func bounds() throws {
    let log = try openLog(on: VirtualDisk())
    for index in 1...40 as ClosedRange<UInt64> {
      try log.append(entries(index...index))
      if index % 3 == 0 { try log.sync() }
    }
    let range = LogIndex(5)..<LogIndex(38)
    #expect(try log.entries(range, maximumBytes: 0) == entries(5...5))
    #expect(try log.entries(range, maximumBytes: 399) == entries(5...7))
    #expect(try log.entries(range, maximumBytes: .max) == entries(5...37))
    #expect(try log.entries(LogIndex(5)..<LogIndex(5), maximumBytes: 10).isEmpty)
  }

  @Test("an entry that no record takes is refused, and the log goes on")
  func tooLarge() throws {
    let log = try openLog(on: VirtualDisk())
    do {
      try log.append(entries(1...1, bytes: 12_000))
      Issue.record("taken")
    } catch { #expect(error.code == .tooLarge) }
    try log.append(entries(1...1, bytes: 11_000))
    try log.sync()
    #expect(try contents(log) == entries(1...1, bytes: 11_000))
  }

  @Test("the largest command of a default log fits, and 50 MiB pass through segments of 8 and 64")
  func defaultSegments() throws {
    let directory = TemporaryDirectory()
    let log = try WriteAheadLog(opening: directory.path, preparesSpares: false)
    for index in 1...25 as ClosedRange<UInt64> {
      let payload = [UInt8](repeating: UInt8(index), count: Limits.commandBytes)
      try log.append([LogEntry(index: LogIndex(index), term: Term(1), payload: payload)])
      if index % 5 == 0 { try log.sync() }
    }
    log.close()
    let again = try WriteAheadLog(opening: directory.path, preparesSpares: false)
    #expect(again.lastIndex == LogIndex(25))
    #expect(try contents(again).map(\.payload.first) == (1...25).map { UInt8($0) })
  }

  @Test("a newer leader's entries replace the older's, across segments and restarts", arguments: 1...60)
  func truncation(from: UInt64) throws {
    let disk = VirtualDisk()
    var log = try openLog(on: disk)
    for start in stride(from: 1, through: 56, by: 5) as StrideThrough<UInt64> {
      try log.append(entries(start...start + 4, bytes: 800))
      try log.sync()
    }
    try log.append(entries(61...62))  // gathered only
    try log.truncate(from: LogIndex(from))
    #expect(log.lastIndex == LogIndex(from - 1))
    try log.append(entries(from...from + 3, term: 5, bytes: 800))
    let expected =
      (from == 1 ? [] : entries(1...from - 1, bytes: 800)) + entries(from...from + 3, term: 5, bytes: 800)
    #expect(try contents(log) == expected)
    try log.sync()
    #expect(try contents(log) == expected)
    log = try openLog(on: disk)
    #expect(try contents(log) == expected)
    #expect(log.term(at: LogIndex(from)) == Term(5))
    #expect(log.term(at: LogIndex(from - 1)) == (from == 1 ? .zero : Term(1)))
  }

  @Test("dropped segments come back as new ones; their former content is never read")
  func recycling() throws {
    let disk = VirtualDisk()
    var log = try openLog(on: disk)
    var next: UInt64 = 1
    for round in 1...12 as ClosedRange<UInt64> {
      for _ in 0..<8 {
        try log.append(entries(next...next + 5, term: round, bytes: 300))
        try log.sync()
        next += 6
      }
      try log.save(HardState(term: Term(round), vote: NodeID(1), commit: LogIndex(next - 1)))
      try log.sync()
      try log.drop(through: LogIndex(next - 10))
      #expect(log.firstIndex <= LogIndex(next - 9))
      let before = try contents(log)
      if round % 3 == 0 { log = try openLog(on: disk) }
      #expect(try contents(log) == before)
      #expect(log.hardState == HardState(term: Term(round), vote: NodeID(1), commit: LogIndex(next - 1)))
      #expect(log.term(at: LogIndex(log.firstIndex.rawValue - 1)) != nil)
    }
    #expect(log.firstIndex > LogIndex(500))
    #expect(disk.files(in: "log").count { $0.contains("/log-") } <= 2)
    #expect(disk.files(in: "log").count { $0.contains("/spare-") } <= 2)
  }

  @Test("spare segments are prepared ahead, in the background, and found by the next process")
  func spares() throws {
    let directory = TemporaryDirectory()
    let log = try WriteAheadLog(opening: directory.path, segmentBytes: 1 << 20)
    log.prepareSpares()
    log.close()
    for index in 1...3 {
      // Closing waits for the thread, and may have stopped it.
      let again = try WriteAheadLog(opening: directory.path, segmentBytes: 1 << 20, preparesSpares: index > 1)
      again.close()
      do {
        try again.append(entries(1...1))
        Issue.record("a closed log took an entry")
      } catch { #expect(error.code == .closed) }
    }
    let names = try PosixFileSystem().list(directory.path)
    #expect(!names.contains { $0.hasPrefix("filling-") })
    #expect(names.contains("log-0000000000000001"))
  }

  @Test("a spare that was damaged never becomes the unwritten part of a segment; a whole one does")
  func damagedSpare() throws {
    let disk = VirtualDisk()
    let first = try openLog(on: disk)
    first.prepareSpares()
    first.close()
    let spares = disk.files(in: "log").filter { $0.contains("/spare-") }.sorted()
    #expect(spares.count == 2)
    disk.mutate(spares[0]) { $0[$0.count - 700] ^= 4 }
    let findings = Findings()
    _ = try LogInspection.run("log", fileSystem: disk, findings: findings, meter: InspectionMeter())
    #expect(findings.damages == [])
    #expect(findings.notes.map(\.path) == [spares[0]])

    let log = try openLog(on: disk)
    log.prepareSpares()
    #expect(disk.files(in: "log").count { $0.contains("/spare-") } == 2)
    try log.append(entries(1...40, bytes: 1000))
    try log.sync()
    #expect(disk.files(in: "log").count { $0.contains("/log-") } > 2)
    // As a kill leaves it: the last segment is not full.
    #expect(try contents(openLog(on: disk.copy())) == entries(1...40, bytes: 1000))
  }

  @Test("a failed sync is final")
  func failedSync() throws {
    let disk = VirtualDisk()
    let log = try openLog(on: disk)
    try log.append(entries(1...1))
    disk.fail(.sync(.logRecord))
    do {
      try log.sync()
      Issue.record("synced")
    } catch { #expect(error.code == .io) }
    for attempt in 0..<3 {
      do {
        if attempt == 0 { try log.sync() } else { try log.append(entries(2...2)) }
        Issue.record("went on")
      } catch { #expect(error.code == .closed) }
    }
  }
}
