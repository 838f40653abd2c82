import Foundation
import StreamDiffCore
import StreamDiffService

extension EntryPoints {
  /// What an interrupted pull into a directory leaves to the next.
  static let unfinishedFiles = [pullJournal]

  /// A journal and unfinished files as parts, as `UnfinishedSamples` reads them. The directory is opened, pulled
  /// into or not, interrupted or not.
  static let pullJournal = EntryPoint(
    "pull-journal", shape: .parts, cost: 20, seeds: { UnfinishedSamples.all }
  ) { input, seen in
    let scratch = try ScratchDirectory()
    let (outside, inside) = ("\(scratch.path)/outside", "\(scratch.path)/dest")
    let plan = UnfinishedSamples.lay(input, in: scratch.path)
    let (foreign, before) = (Disk.content(of: outside), Disk.content(of: inside))
    let own = { Disk.content(of: inside).filter { !UnfinishedSamples.isTemporary($0.key) } }
    let left = { Disk.content(of: inside).keys.filter { UnfinishedSamples.isTemporary($0) } }

    func pull(stopping limit: Int?) throws -> Int {
      try Blocking.run {
        let sink = try await DirectorySink.open(inside, random: limit == nil ? 1 << 40 : 1 << 50)
        do {
          let operations = try await UnfinishedSamples.bring(to: sink, limit: limit)
          await sink.close(keepingUnfinished: limit != nil)
          return operations
        } catch {
          await sink.close()
          throw error
        }
      }
    }
    do {
      if plan.isInterrupted {
        seen.note("\(plan.limit) of \(try pull(stopping: plan.limit)): \(left().count)")
      }
      if plan.pulls {
        // What was there of it need not come again.
        seen.note(String(repeating: "+", count: try pull(stopping: nil)))
        try require(own() == UnfinishedSamples.wantedFiles, "a pull leaves \(own())")
      } else if !plan.isInterrupted {
        try Blocking.run { await (try DirectorySink.open(inside, random: 1 << 40)).close() }
        try require(
          own() == before.filter { !UnfinishedSamples.isTemporary($0.key) },
          "a directory that was only opened changed")
      }
      if plan.pulls || !plan.isInterrupted {
        try require(left().isEmpty, "unfinished files are left: \(left())")
      }
      seen.note("done")
    } catch let error as AdapterError {
      seen.note(error.detail)
      // Somebody put something else where the journal belongs.
      try require(plan.isJournalForeign, "\(error)")
    }
    try require(Disk.content(of: outside) == foreign, "what is outside the directory changed")
    seen.note(count: before.count)
  }
}

/// The first part: flags u8 (bit 0: pulls; bit 1: interrupts a pull before) | operations before the interruption u8.
/// The others, by their first byte:
///
///     0  bytes of the journal
///     1  an entry of the journal, its length and checksum put right
///     2  an unfinished file: bit 0 in "d/" | last byte of its number | content
///     3  a link in the place of one: bit 0 in "d/" | last byte of its number
///     4  a directory in the place of the journal
///     5  a link to the outside in the place of the journal
enum UnfinishedSamples {
  struct Plan {
    var pulls = false
    var isInterrupted = false
    var limit = 0
    var isJournalForeign = false
  }

  static func isTemporary(_ path: String) -> Bool {
    path.split(separator: "/").last.map { $0.hasPrefix(".streamdiff-") } ?? false
  }

  private static func name(_ number: UInt8) -> String {
    let digits = String(number, radix: 16)
    return ".streamdiff-" + String(repeating: "0", count: 16 - digits.count) + digits + ".part"
  }

  static func lay(_ input: [UInt8], in scratch: String) -> Plan {
    let manager = FileManager.default
    for directory in ["outside", "dest", "dest/d"] {
      try? manager.createDirectory(atPath: "\(scratch)/\(directory)", withIntermediateDirectories: false)
    }
    Disk.write(Array("secret".utf8), to: "\(scratch)/outside/secret")
    Disk.write(pieces[0], to: "\(scratch)/outside/\(name(7))")
    Disk.write(Array("old".utf8), to: "\(scratch)/dest/a")
    Disk.write(pieces[1], to: "\(scratch)/dest/d/b")
    try? manager.createSymbolicLink(atPath: "\(scratch)/dest/link", withDestinationPath: "../outside")

    var plan = Plan()
    var journal: [UInt8] = []
    for (place, part) in Shape.parts.split(input).map({ Array($0.dropFirst(2)) }).enumerated() {
      guard let kind = part.first else { continue }
      let rest = Array(part.dropFirst())
      if place == 0 {
        (plan.pulls, plan.isInterrupted) = (kind & 1 == 1, kind & 2 == 2)
        plan.limit = Int(rest.first ?? 0)
        continue
      }
      switch kind {
      case 0: journal += rest
      case 1: journal += integer(UInt32(rest.count)) + integer(CRC32C(rest.span.bytes).rawValue) + rest
      case 2, 3:
        guard rest.count >= 2 else { continue }
        // 0 and 1 are the journal's own.
        let path = "\(scratch)/dest/\(rest[0] & 1 == 1 ? "d/" : "")\(name(max(2, rest[1])))"
        if kind == 2 {
          if (try? manager.destinationOfSymbolicLink(atPath: path)) == nil {
            Disk.write(Array(rest.dropFirst(2)), to: path)
          }
        } else {
          try? manager.createSymbolicLink(atPath: path, withDestinationPath: "\(scratch)/outside/secret")
        }
      case 4:
        try? manager.createDirectory(atPath: "\(scratch)/dest/\(name(0))", withIntermediateDirectories: false)
        plan.isJournalForeign = true
      case 5:
        try? manager.createSymbolicLink(
          atPath: "\(scratch)/dest/\(name(0))", withDestinationPath: "../outside/secret")
        plan.isJournalForeign = true
      default: continue
      }
    }
    if !journal.isEmpty, !plan.isJournalForeign { Disk.write(journal, to: "\(scratch)/dest/\(name(0))") }
    return plan
  }

  // MARK: What is pulled

  private static let pieces: [[UInt8]] = ["first piece", "a second, longer piece", "third"].map {
    Array($0.utf8)
  }

  static let wantedFiles: [String: [UInt8]] = [
    "a": pieces[0] + pieces[1], "d/": [], "d/b": pieces[2] + pieces[1] + pieces[0], "l@": Array("../x".utf8),
  ]

  private static func item(_ piece: [UInt8]) -> [UInt8] {
    SHA256.digest(piece).bytes + integer(UInt32(piece.count))
  }

  private static func file(_ pieces: [[UInt8]]) -> [UInt8] {
    [1, 1, 0, 0xa4, 1, 0] + integer(UInt64(pieces.joined().count)) + integer(UInt32(pieces.count))
      + pieces.flatMap { item($0) }
  }

  private static let wanted: MapContent = {
    var entries: [[UInt8]: [UInt8]] = [:]
    func add(_ path: String, _ list: [[UInt8]]) {
      let path = Array(path.utf8)
      entries[DirectoryKey.record(path)] = file(list)
      for piece in list { entries[DirectoryKey.piece(path, SHA256.digest(piece))] = piece }
    }
    add("a", [pieces[0], pieces[1]])
    add("d/b", [pieces[2], pieces[1], pieces[0]])
    entries[DirectoryKey.record(Array("d/".utf8))] = [1, 2, 0, 0xed, 1]
    entries[DirectoryKey.record(Array("l".utf8))] = [1, 3, 0, 0xff, 1, 4, 0] + Array("../x".utf8)
    return MapContent(entries)
  }()

  /// Makes the sink what is wanted, by comparison with what it says it has.
  /// - Returns: operations that are needed.
  static func bring(to sink: DirectorySink, limit: Int?) async throws -> Int {
    let there = try records(of: await sink.content())
    var operations: [StreamDiffCore.Operation] = []
    for record in wanted.records where !there.contains(record) {
      operations.append(Operation(key: record.key, change: .put(value: wanted.values[record.key] ?? [])))
    }
    for record in there where wanted.values[record.key] == nil {
      operations.append(Operation(key: record.key, change: .delete))
    }
    operations.sort { $0.key.lexicographicallyPrecedes($1.key) }
    for (place, operation) in operations.prefix(limit ?? .max).enumerated() {
      let run = OperationRun(
        firstOrdinal: Ordinal(UInt64(place) + 1), operations: try EncodedOperations([operation]))
      try await sink.apply(run) { _ in }
    }
    guard limit == nil else { return operations.count }
    let sealed = try records(of: await sink.seal())
    try require(sealed == wanted.records, "a pull ends with other records")
    return operations.count
  }

  private static func records(of content: any SyncContent) throws -> [DigestRecord] {
    var records: [DigestRecord] = []
    try content.readRecords(from: [], to: nil, limit: .max, into: &records)
    return records
  }

  // MARK: Samples

  private static func integer(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  private static func entry(_ path: String, _ number: UInt64, _ pieces: [[UInt8]]) -> [UInt8] {
    [1] + integer(UInt32(path.utf8.count)) + path.utf8 + integer(number) + integer(UInt32(pieces.count))
      + pieces.flatMap { item($0) }
  }

  private static func sample(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { Shape.parts.part($0) } }

  private static let zeros = [UInt8](repeating: 0, count: 11)

  static let all: [[UInt8]] = [
    sample([0]), sample([1]), sample([3, 2]), sample([3, 4]), sample([2, 3]), sample([3, 6]),
    sample([1], entry("a", 5, [pieces[0], pieces[1]]), [2, 0, 5] + pieces[0]),
    sample([1], entry("d/b", 6, [pieces[2], pieces[1]]), [2, 1, 6] + pieces[2] + pieces[1]),
    sample([0], entry("d/b", 6, [pieces[2], pieces[1]]), [2, 1, 6] + pieces[2] + pieces[1]),
    sample(
      [3, 3], entry("a", 5, [pieces[0], pieces[1]]), entry("a", 9, [pieces[2]]),
      [2, 0, 5] + zeros + pieces[1]),
    sample([1], entry("link/secret", 7, [pieces[0]])), sample([1], entry("a", 5, [pieces[0]]), [3, 0, 5]),
    sample([1], entry("../a", 5, [pieces[0]]), [2, 0, 5] + pieces[0]),
    sample([1], entry("a/", 5, []), [0, 7]),
    sample([1], [0, 1, 2, 3, 4, 5, 6, 7, 8]), sample([1], [4]), sample([1], [5]), sample([0], [2, 0, 9, 1]),
    // The journal itself, and what is written anew beside it, as unfinished files.
    sample([1], entry("a", 0, [pieces[0], pieces[1]])), sample([3, 2], entry("d/b", 1, [pieces[2]])),
    sample(
      [1], entry("a", 5, [pieces[0]]), entry("d/b", 5, [pieces[0]]), [2, 0, 5] + pieces[0],
      [2, 1, 5] + pieces[0]),
  ]
}
