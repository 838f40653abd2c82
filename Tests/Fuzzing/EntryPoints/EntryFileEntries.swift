import StreamDiffCore
import StreamDiffService

extension EntryPoints {
  /// Whole files of entries: what is read of them, and what a pull makes of them.
  static let entryFiles = [ndjsonFile, ndjsonPull]

  /// Bytes that a block has and that are held, each in one byte; then the file.
  static let ndjsonFile = EntryPoint(
    "ndjson-file", shape: .lines, maximumBytes: 8 << 10, dictionary: AdapterSamples.words, cost: 10,
    seeds: { EntryFileSamples.files }
  ) { input, seen in
    let bounds = EntryFileSamples.bounds(input.first ?? 0, input.dropFirst().first ?? 0)
    let file = Array(input.dropFirst(2))
    let expected = NaiveEntries(file)
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/entries"
    Disk.write(file, to: path)
    do {
      let source = try Blocking.run { try await NDJSONSource.scan(path, bounds: bounds) }
      try require(expected.problems.isEmpty, "what is malformed is read: \(expected.problems)")
      try expected.requireSame(as: source)
      seen.note(count: expected.values.count)
      // The original may change once it has been read.
      Disk.write(Array("changed".utf8), to: path)
      try expected.requireSame(as: source)
    } catch let error as AdapterError {
      seen.note("\(error.code)")
      if error.code == .tooLarge, expected.longestLine > bounds.blockBytes { return }
      let place = error.detail.split(separator: ":")[0]
      try require(expected.problems.contains(String(place)), "\(error) where \(expected.problems) are wrong")
    }
  }

  /// Four parts: what to do | the file before | operations | an unfinished file of an earlier pull.
  static let ndjsonPull = EntryPoint(
    "ndjson-pull", shape: .parts, maximumBytes: 8 << 10, dictionary: AdapterSamples.words, cost: 10,
    seeds: { EntryFileSamples.pulls }
  ) { input, seen in
    let parts = Shape.parts.split(input).map { Array($0.dropFirst(2)) } + [[], [], [], []]
    let flags = EntryFileSamples.PullFlags(rawValue: parts[0].first ?? 0)
    let bounds = EntryFileSamples.bounds(
      parts[0].dropFirst().first ?? 0, parts[0].dropFirst(2).first ?? 0)
    let scratch = try ScratchDirectory()
    let path = "\(scratch.path)/entries"
    let before = flags.contains(.isNew) ? nil : parts[1]
    if let before { Disk.write(before, to: path) }
    if flags.contains(.hasUnfinished) {
      Disk.write(parts[3], to: "\(scratch.path)/\(EntryFileSamples.unfinished)")
    }
    let old = NaiveEntries(before ?? [])
    let left = { Disk.content(of: scratch.path) }
    let untouched = before.map { ["entries": $0] } ?? [:]

    let operations: EncodedOperations
    do { operations = try EncodedOperations(parts[2]) } catch { return seen.note("no operations") }
    let sink: NDJSONSink
    do {
      sink = try Blocking.run { try await NDJSONSink.open(path, bounds: bounds) }
    } catch let error as AdapterError {
      try require(
        !old.problems.isEmpty || old.longestLine > bounds.blockBytes,
        "a file that is whole is refused: \(error)")
      try require(left() == untouched, "a pull that was refused leaves \(left().keys)")
      return seen.note("\(error.code)")
    }
    var wanted = old.values
    for operation in operations.operations {
      if case .put(let value) = operation.change {
        wanted[operation.key] = value
      } else {
        wanted[operation.key] = nil
      }
    }
    if operations.count > 0 {
      try Blocking.run {
        try await sink.apply(OperationRun(firstOrdinal: Ordinal(1), operations: operations)) { _ in }
      }
    }
    // As after a connection that was lost, and at the end.
    if flags.contains(.compares) { _ = try Blocking.run { try await sink.content() } }
    if flags.contains(.breaksOff) {
      sink.abandon()
      try require(left() == untouched, "a pull that broke off leaves \(left().keys)")
      return seen.note("broken off")
    }
    let sealed = try Blocking.run { try await sink.seal() }
    try require(left() == untouched, "a pull that is not yet published leaves \(left().keys)")
    try NaiveEntries(wanted).requireSame(as: sealed)
    try Blocking.run { try await sink.publish() }
    let after = left()
    try require(Array(after.keys) == ["entries"], "a pull leaves \(after.keys)")
    seen.note(count: wanted.count)
    if operations.count == 0, before != nil {
      return try require(after == untouched, "a pull without changes writes the file anew")
    }
    let now = NaiveEntries(after["entries"] ?? [])
    try require(now.problems.isEmpty && now.values == wanted, "the file does not hold what was pulled")
    try require(
      now.keys == now.values.keys.sorted { $0.lexicographicallyPrecedes($1) }, "the file is not in order")
  }
}

/// A file of entries read line by line into memory.
private struct NaiveEntries {
  private(set) var values: [[UInt8]: [UInt8]] = [:]
  /// In order of their lines.
  private(set) var keys: [[UInt8]] = []
  /// As errors name them.
  private(set) var problems: [String] = []
  private(set) var longestLine = 0

  init(_ values: [[UInt8]: [UInt8]]) { self.values = values }

  init(_ file: [UInt8]) {
    let lines = file.split(separator: 0x0a, omittingEmptySubsequences: false)
    for (place, line) in lines.enumerated() {
      longestLine = max(longestLine, line.count + 1)
      guard line.contains(where: { ![0x20, 0x09, 0x0d].contains($0) }) else { continue }
      var buffer: [UInt8] = []
      do {
        let entry = try Array(line).withUnsafeBytes { line in try EntryLine(line, into: &buffer) }
        let key = Array(buffer.prefix(entry.keyBytes))
        keys.append(key)
        values[key] = Array(buffer.dropFirst(entry.keyBytes))
      } catch let problem as EntryLine.Problem {
        problems.append("line \(place + 1), column \(problem.column)")
      } catch {
        preconditionFailure("\(error)")
      }
    }
  }

  func requireSame(as content: any SyncContent) throws {
    let wanted = MapContent(values)
    var records: [DigestRecord] = []
    try content.readRecords(from: [], to: nil, limit: .max, into: &records)
    try require(
      records == wanted.records, "\(records.count) records where \(wanted.records.count) should be, or others"
    )
    try require(content.tree.root == wanted.tree.root, "the root is another")
    if let source = content as? any SyncSource { try requireValues(of: source, records.map(\.key)) }
    // Any range is a part of the whole.
    guard records.count > 2 else { return }
    let (first, end) = (records.count / 3, records.count * 2 / 3)
    var some: [DigestRecord] = []
    try content.readRecords(from: records[first].key, to: records[end].key, limit: .max, into: &some)
    try require(some == Array(records[first..<end]), "a range of \(end - first) has \(some.count) records")
  }

  private func requireValues(of source: some SyncSource, _ keys: [[UInt8]]) throws {
    var visited = 0
    try source.readValues(of: keys) { place, value in
      try require(place == visited, "values come out of order")
      try require(value.withUnsafeBytes { Array($0) } == values[keys[place]], "a value is another")
      visited += 1
    }
    try require(visited == keys.count, "\(visited) of \(keys.count) values come")
  }
}

enum EntryFileSamples {
  struct PullFlags: OptionSet {
    let rawValue: UInt8
    static let isNew = Self(rawValue: 1)
    static let hasUnfinished = Self(rawValue: 2)
    static let breaksOff = Self(rawValue: 4)
    static let compares = Self(rawValue: 8)
  }

  /// So small that a few lines fill them.
  static func bounds(_ block: UInt8, _ held: UInt8) -> SortBounds {
    var bounds = SortBounds()
    (bounds.blockBytes, bounds.heldBytes) = (64 + 8 * Int(block), 16 * Int(held))
    return bounds
  }

  /// The name of what a pull into "entries" writes before it is whole.
  static let unfinished: String = {
    let digits = SHA256.digest(Array("entries".utf8)).description.prefix(16)
    return ".streamdiff-\(digits).part"
  }()

  private static func lines(_ count: Int, keys: Int) -> [UInt8] {
    var file: [UInt8] = []
    for number in 0..<count {
      let value = [UInt8](repeating: UInt8(97 + number % 26), count: number % 40)
      file += JSONText.entry(key: Array("key/\(number * 7 % keys)".utf8), value: value)
      file.append(0x0a)
    }
    return file
  }

  static let files: [[UInt8]] = [
    [0, 0], [8, 2] + lines(1, keys: 1), [6, 8] + lines(60, keys: 13), [4, 1] + lines(90, keys: 90),
    [255, 255] + lines(40, keys: 7), [40, 30] + Array(AdapterSamples.lines.joined(separator: [0x0a])),
    [9, 0] + lines(150, keys: 50),
  ]

  private static func pull(
    _ flags: PullFlags, _ before: [UInt8], _ operations: [UInt8], _ unfinished: [UInt8] = []
  ) -> [UInt8] {
    [[flags.rawValue, 20, 4], before, operations, unfinished].flatMap { Shape.parts.part($0) }
  }

  static let pulls: [[UInt8]] =
    Samples.operationRuns.map { pull([.compares], lines(20, keys: 9), $0) } + [
      pull([.isNew], [], Samples.operationRuns[1]),
      pull([.breaksOff], lines(9, keys: 9), Samples.operationRuns[1]),
      pull([.hasUnfinished, .breaksOff], lines(3, keys: 3), Samples.operationRuns[6], lines(2, keys: 2)),
      pull([.hasUnfinished, .isNew], [], Samples.operationRuns[0], Array("{\"key".utf8)),
      pull([], Array("no entry\n".utf8), Samples.operationRuns[0]),
    ]
}
