import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

@Suite struct LogInspectionTests {
  private static let entries = 44

  /// A log of several segments on a disk in memory, a value of some sectors in each record.
  private func filled() throws -> VirtualDisk {
    let disk = VirtualDisk()
    let log = try WriteAheadLog(
      opening: "/log", fileSystem: disk, segmentBytes: 16 << 10, preparesSpares: false)
    for number in 1...Self.entries {
      let value = [UInt8](repeating: UInt8(number), count: 100 * (number % 9))
      let operation = Operation(key: [UInt8(number)], change: .put(value: value))
      let command = Command.operations(
        OperationBatch(
          keyspace: .default, kind: .plain, operations: try EncodedOperations([operation])))
      try log.append([
        LogEntry(index: LogIndex(UInt64(number)), term: Term(1), payload: command.encode())
      ])
      try log.save(HardState(term: Term(1), vote: NodeID(1), commit: LogIndex(UInt64(number - 1))))
      try log.sync()
    }
    log.close()
    return disk
  }

  private func inspect(_ disk: VirtualDisk) throws -> (LogInspection.Summary, Findings) {
    let findings = Findings()
    let summary = try LogInspection.run(
      "/log", fileSystem: disk, findings: findings, meter: InspectionMeter())
    return (summary, findings)
  }

  private func files(_ disk: VirtualDisk) -> [String] { disk.files(in: "/log") }

  private func segments(_ disk: VirtualDisk) -> [String] { files(disk).filter { $0.contains("/log-") } }

  @Test("a whole log is sound, and says what it holds; looking changes nothing")
  func sound() throws {
    let disk = try filled()
    let calls = disk.syncs.count
    let before = files(disk).map { ($0, disk.contents($0)) }
    let (summary, findings) = try inspect(disk)
    #expect(findings.damageCount == 0 && findings.noteCount == 0)
    #expect(summary.segments > 2 && summary.isWhole)
    #expect(summary.firstIndex == LogIndex(1) && summary.lastIndex == LogIndex(44))
    #expect(summary.entries == 44 && summary.hardState.commit == LogIndex(43))
    #expect(summary.term(at: LogIndex(44)) == Term(1))
    #expect(files(disk).map { ($0, disk.contents($0)) }.elementsEqual(before) { $0 == $1 })
    #expect(disk.syncs.count == calls)
  }

  @Test("two damages of one log are both named, and what lies between and behind is read")
  func goesOn() throws {
    let disk = try filled()
    let names = segments(disk)
    for name in [names[0], names[2]] { disk.mutate(name) { $0[4096 + 700] ^= 4 } }
    let (summary, findings) = try inspect(disk)
    #expect(Set(findings.damages.compactMap(\.path)) == [names[0], names[2]])
    #expect(findings.damages.allSatisfy { $0.offset == 4096 + 512 })
    #expect(!summary.isWhole)
    #expect(summary.entries >= 41 && summary.lastIndex == LogIndex(44))
  }

  @Test("every bit of every sector counts", arguments: [1, 2, 3])
  func everyBit(seed: UInt64) throws {
    let disk = try filled()
    var random = SeededRandom(seed: seed)
    for name in segments(disk) {
      for _ in 0..<40 {
        let size = disk.contents(name).count
        let (place, bit) = (Int.random(in: 0..<size, using: &random), UInt8(1) << UInt8.random(in: 0..<8))
        disk.mutate(name) { $0[place] ^= bit }
        let (_, findings) = try inspect(disk)
        let isNamed = findings.damages.contains { finding in
          finding.path == name && (finding.offset ?? 0) / 512 == UInt64(place) / 512
        }
        #expect(isNamed, "\(name) at \(place), bit \(bit)")
        disk.mutate(name) { $0[place] ^= bit }
      }
    }
  }

  @Test("a record that was under way is a note, and stays as it is")
  func torn() throws {
    let disk = try filled()
    let last = try #require(segments(disk).last)
    // The last record's last sector, as if it had not arrived.
    let bytes = disk.contents(last)
    let end = try #require(bytes.lastIndex { $0 != 0 }) / 512 * 512
    disk.mutate(last) { file in file.replaceSubrange(end..<end + 512, with: [UInt8](repeating: 0, count: 512))
    }
    let after = disk.contents(last)
    let (summary, findings) = try inspect(disk)
    #expect(findings.damageCount == 0)
    #expect(findings.notes.map(\.path) == [last])
    #expect(summary.lastIndex == LogIndex(43))
    #expect(disk.contents(last) == after)
  }

  @Test("a missing segment is named")
  func missing() throws {
    let disk = try filled()
    let name = segments(disk)[1]
    disk.erase(name)
    let (_, findings) = try inspect(disk)
    #expect(findings.damages.map(\.path) == [name])
  }

  @Test("an entry that is no command is named")
  func command() throws {
    let disk = VirtualDisk()
    let log = try WriteAheadLog(
      opening: "/log", fileSystem: disk, segmentBytes: 16 << 10, preparesSpares: false)
    try log.append([LogEntry(index: LogIndex(1), term: Term(1), payload: [9, 9])])
    try log.sync()
    log.close()
    let (_, findings) = try inspect(disk)
    #expect(findings.damages.count == 1)
    #expect(findings.damages.first?.detail.contains("entry 1 holds no command") == true)
  }
}
