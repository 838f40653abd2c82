import Simulator
import StreamDiffCore

extension EntryPoints {
  /// What Core parses: operations, commands, names, and content to cut.
  static let core = [operations, command, stateMachine, leafRecord, fastCDC, names]

  // MARK: Operations

  static let operations = EntryPoint("operations", seeds: { Samples.operationRuns }) { input, seen in
    let span = input.span
    if let layout = try OperationLayout(parsing: span, at: 0) {
      try require(
        layout.end <= input.count && layout.key.upperBound <= layout.end, "an operation ends outside")
      try require(1...Limits.keyBytes ~= layout.key.count, "a key of \(layout.key.count) bytes")
      try require(layout.value.count <= Limits.valueBytes, "a value of \(layout.value.count) bytes")
    }
    let encoded = try EncodedOperations(input)
    seen.note(count: encoded.count)
    try require(encoded.bytes == input, "checked operations have other bytes")
    let operations = encoded.operations
    try require(
      operations.count == encoded.count, "\(encoded.count) operations iterate \(operations.count) times")
    // A length may be written longer than it need be: what is understood is what comes back.
    let again = try EncodedOperations(operations)
    try require(again.operations == operations, "operations change when they are encoded")
    try require(again.bytes.count <= input.count, "encoding grew from \(input.count) to \(again.bytes.count)")
  }

  // MARK: Commands

  static let command = EntryPoint("command", seeds: { Samples.commands }) { input, seen in
    let command = try Command(decoding: input)
    if case .operations(let batch) = command { seen.note(count: batch.operations.count) }
    let again = command.encode()
    try require(again.count <= input.count, "encoding grew from \(input.count) to \(again.count)")
    try require(try Command(decoding: again) == command, "a command changes when it is encoded")
  }

  /// Commands as log entries, one after the other, to a state machine: what a log can make it do.
  static let stateMachine = EntryPoint(
    "state-machine", shape: .parts, seeds: { Samples.commandLogs }
  ) { input, seen in
    var machine = StateMachine()
    var store = MapStore()
    for (place, part) in Shape.parts.split(input).enumerated() {
      let command: Command
      do throws(CommandError) {
        command = try Command(decoding: Array(part.dropFirst(2)))
      } catch {
        seen.note(error.detail)
        continue
      }
      let before = store.bytes
      switch machine.apply(command, at: LogIndex(UInt64(place) + 1), to: &store) {
      case .none: seen.note("none")
      case .refused: seen.note("refused")
      case .sealed(let position): seen.note(count: position.entries)
      case .applied(let operations, let conflicts):
        seen.note("applied")
        seen.note(count: conflicts.count)
        try require(conflicts.count <= operations, "\(conflicts.count) conflicts of \(operations) operations")
      case .advanced(let advance):
        seen.note("advanced")
        seen.note(count: advance.skipped)
        try require(
          advance.conflicts.count <= advance.operations,
          "\(advance.conflicts.count) conflicts of \(advance.operations) operations")
      case .opened(let record):
        try require(record.fence == LogIndex(UInt64(place) + 1), "a session was opened elsewhere")
      case .expired(let forgotten): seen.note(count: forgotten)
      }
      try require(
        store.sessionTable().records == store.sessions.count,
        "\(store.sessions.count) sessions are counted as \(store.sessionTable().records)")
      try require(store.bytes - before <= part.count, "a command of \(part.count) bytes stored more")
    }
  }

  // MARK: State records, content and names

  static let leafRecord = EntryPoint(
    "leaf-record", maximumBytes: 80, seeds: { Samples.leafRecords.map { $0.encode() } }
  ) { input, seen in
    guard let record = MerkleTree.LeafRecord(lower: [1, 2], encoded: input.span) else {
      return seen.note("no leaf record")
    }
    try require(record.encode() == input, "a leaf record changes when it is encoded")
    try require(record.count <= MerkleTree.leafCapacity, "a leaf of \(record.count) entries")
  }

  static let fastCDC = EntryPoint(
    "fastcdc", maximumBytes: 96 << 10,
    seeds: {
      var random = SeededRandom(seed: 1)
      return [[], [1], random.bytes(3000), random.bytes(70_000), Array(repeating: 0, count: 40_000)]
    }
  ) { input, seen in
    var rest = input[...]
    var pieces = 0
    while !rest.isEmpty {
      let cut = rest.withUnsafeBytes { FastCDC.cut($0.bytes) }
      try require(1...min(FastCDC.maximum, rest.count) ~= cut, "a piece of \(cut) of \(rest.count) bytes")
      try require(cut == rest.count || cut > FastCDC.minimum, "a piece of \(cut) bytes in the middle")
      rest = rest.dropFirst(cut)
      pieces += 1
    }
    seen.note(count: pieces)
  }

  static let names = EntryPoint(
    "names", shape: .lines, maximumBytes: 400,
    seeds: { ["", "default", "a.b_c-9", String(repeating: "k", count: 128)].map { Array($0.utf8) } }
  ) { input, seen in
    let text = String(decoding: input, as: UTF8.self)
    if let name = KeyspaceName(text) {
      seen.note("name")
      try require(name.description == (text.isEmpty ? "default" : text), "a name changes")
      try require(name.description.utf8.count <= KeyspaceName.maximumBytes, "a long name")
    }
    if let digest = Digest(hex: text) {
      seen.note("digest")
      try require(digest.description == text.lowercased(), "a digest changes")
    }
    if let session = SessionID(bytes: input) {
      seen.note("session")
      try require(session.bytes == input, "a session id changes")
    }
  }
}
