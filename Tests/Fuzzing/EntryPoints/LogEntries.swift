import StreamDiffCore
import StreamDiffStorage

extension EntryPoints {
  /// What Storage reads from a disk that others may have written to.
  static let storage = [log]

  /// A log's segments, sector by sector, opened, read, written to and opened again.
  static let log = EntryPoint(
    "log", shape: .parts, maximumBytes: 24 << 10, seeds: { LogImage.samples }
  ) { input, seen in
    let disk = LogDisk(LogImage.files(of: input))
    let first = try openedAndRead(disk, &seen)
    // The same again: what one opening mends, the next does not find.
    let second = try openedAndRead(disk, &seen)
    try require(
      first.entries == second.entries && first.state == second.state, "the log differs when opened again")
    let log = try WriteAheadLog(
      opening: LogImage.directory, fileSystem: disk, segmentBytes: LogImage.segmentBytes,
      preparesSpares: false)
    let entry = LogEntry(index: log.lastIndex + 1, term: log.lastTerm, payload: [1, 2, 3])
    try log.append([entry])
    try log.sync()
    log.close()
    let third = try openedAndRead(disk, &seen)
    try require(third.entries == second.entries + [entry], "an entry written after recovery is lost")
  }

  private static func openedAndRead(
    _ disk: LogDisk, _ seen: inout Observation
  ) throws -> (entries: [LogEntry], state: HardState) {
    let log = try WriteAheadLog(
      opening: LogImage.directory, fileSystem: disk, segmentBytes: LogImage.segmentBytes,
      preparesSpares: false)
    seen.note(log.tornTail == nil ? "whole" : "torn")
    var entries: [LogEntry] = []
    let end = log.lastIndex + 1
    while log.firstIndex + UInt64(entries.count) < end {
      let next = log.firstIndex + UInt64(entries.count)
      let some = try log.entries(next..<end, maximumBytes: 1 << 16)
      try require(
        !some.isEmpty, "entry \(next.rawValue) of a log up to \(log.lastIndex.rawValue) does not come")
      for entry in some {
        try require(entry.index == log.firstIndex + UInt64(entries.count), "entries are out of order")
        try require(entry.term >= entries.last?.term ?? .zero, "terms fall")
        try require(log.term(at: entry.index) == entry.term, "the term of an entry is another")
        entries.append(entry)
      }
      try require(entries.count <= 4096, "more entries than sectors can hold")
    }
    seen.note(count: entries.count)
    let state = log.hardState
    log.close()
    return (entries, state)
  }
}

/// A log's files as parts: the first names the generation of the first segment and of a spare, each
/// of the others is a written sector.
///
///     generation u64 | spare u64
///     segment u8 (low 2 bits; bit 6: of a former life; bit 7: one bit flipped) | sector u8 | record u8 | payload
///
/// Checksums are put right around what a part says: what they guard is reached.
enum LogImage {
  static let directory = "log"
  static let segmentBytes = 16 << 10
  private static let (sectorBytes, payloadBytes) = (512, 496)

  static func files(of input: [UInt8]) -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    var parts = Shape.parts.split(input)[...].map { $0.dropFirst(2) }
    guard let head = parts.first, head.count >= 16 else { return [:] }
    parts.removeFirst()
    let generation = integer(head.prefix(8))
    files["\(directory)/spare-\(String(integer(head.dropFirst(8).prefix(8)), radix: 16))"] = []
    for part in parts where part.count >= 3 {
      let fields = Array(part.prefix(3))
      let own = generation &+ UInt64(fields[0] & 3)
      let path = "\(directory)/log-\(hex(own))"
      let number = Int(fields[1]) % (segmentBytes / sectorBytes)
      var sector = Array(part.dropFirst(3).prefix(payloadBytes))
      sector += [UInt8](repeating: 0, count: payloadBytes - sector.count)
      append(fields[0] & 0x40 == 0 ? own : own &- 1, to: &sector)
      append(UInt32(fields[2]), to: &sector)
      var place: [UInt8] = []
      append(UInt32(number), to: &place)
      append(CRC32C(place.span.bytes).extended(over: sector.span.bytes).masked, to: &sector)
      if fields[0] & 0x80 != 0 { sector[Int(fields[2]) * 2] ^= 1 }
      files[path, default: [UInt8](repeating: 0, count: segmentBytes)].replaceSubrange(
        number * sectorBytes..<(number + 1) * sectorBytes, with: sector)
    }
    return files
  }

  private static func hex(_ number: UInt64) -> String {
    let digits = String(number, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
  }

  // MARK: Samples

  static let samples: [[UInt8]] = [1, 3, 12, 40].map { image(ofLogWith: $0) }

  /// What a log of so many group commits leaves on disk: entries of several lengths, states, truncations.
  private static func image(ofLogWith commits: Int) -> [UInt8] {
    let disk = LogDisk([:])
    do {
      let log = try WriteAheadLog(
        opening: directory, fileSystem: disk, segmentBytes: segmentBytes, preparesSpares: false)
      for commit in 1...commits {
        let term = Term(UInt64(commit / 4) + 1)
        let lengths = [commit % 7, commit * 37 % 600, commit % 5 == 0 ? 1500 : 20]
        for length in lengths {
          try log.append([
            LogEntry(index: log.lastIndex + 1, term: term, payload: Array(repeating: 9, count: length))
          ])
        }
        if commit % 3 == 0 { try log.save(HardState(term: term, vote: NodeID(1), commit: log.lastIndex)) }
        if commit % 8 == 5 { try log.truncate(from: LogIndex(log.lastIndex.rawValue - 1)) }
        try log.sync()
        if commit == 30 { try log.drop(through: LogIndex(log.lastIndex.rawValue - 20)) }
      }
      log.close()
    } catch {
      preconditionFailure("a log in memory fails: \(error)")
    }
    return image(of: disk.files)
  }

  private static func image(of files: [String: [UInt8]]) -> [UInt8] {
    let segments = files.filter { $0.key.hasPrefix("\(directory)/log-") }.sorted { $0.key < $1.key }
    let first = segments.first.flatMap { UInt64($0.key.dropFirst(directory.count + 5), radix: 16) } ?? 1
    var head: [UInt8] = []
    append(first, to: &head)
    append(UInt64(7), to: &head)
    var image = Shape.parts.part(head)
    for (place, segment) in segments.enumerated() {
      for number in 0..<segment.value.count / sectorBytes {
        let sector = segment.value[number * sectorBytes..<(number + 1) * sectorBytes]
        guard sector.contains(where: { $0 != 0 }) else { continue }
        let record = sector[sector.startIndex + 504]
        let payload = sector.prefix(payloadBytes)
        let end = payload.lastIndex { $0 != 0 }.map { $0 + 1 } ?? payload.startIndex
        image += Shape.parts.part([UInt8(place), UInt8(number), record] + payload[..<end])
      }
    }
    return image
  }
}
