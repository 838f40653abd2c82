import StreamDiffCore
import Testing

@Suite("A sync session")
struct SyncTests {
  /// Pairs of contents, from alike to unlike.
  static let shapes = [
    "equal", "few changed", "many changed", "some added", "some deleted", "disjoint", "interleaved",
    "from empty", "to empty", "both empty", "one entry", "long keys", "blocks",
  ]

  static func contents(_ shape: String, _ random: inout SplitMix, size: Int) -> (Content, Content) {
    let numbers = 0..<size
    func value(_ number: Int) -> [UInt8] { [UInt8(truncatingIfNeeded: number), 1] }
    let base = Content.numbered(numbers, value: value)
    var other = base
    let places = numbers.shuffled(using: &random)
    switch shape {
    case "few changed": for place in places.prefix(5) { other.put(Content.key(place), random.bytes(9)) }
    case "many changed":
      for place in places.prefix(size / 3) { other.put(Content.key(place), random.bytes(9)) }
    case "some added": for place in places.prefix(size / 20) { other.put(Content.key(place) + [7], [9]) }
    case "some deleted": for place in places.prefix(size / 20) { other.delete(Content.key(place)) }
    case "disjoint": other = .numbered(numbers.map { $0 + 1_000_000 }, value: value)
    case "interleaved":
      other = Content(Dictionary(uniqueKeysWithValues: numbers.map { (Content.key($0) + [1], [1]) }))
    case "from empty": return (Content(), base)
    case "to empty": return (base, Content())
    case "both empty": return (Content(), Content())
    case "one entry": return (.numbered([3], value: value), .numbered([5], value: value))
    case "long keys":
      let long = numbers.prefix(300).map { (Content.key($0) + [UInt8](repeating: 1, count: 8000), [UInt8]()) }
      return (
        Content(Dictionary(uniqueKeysWithValues: long)),
        Content(Dictionary(uniqueKeysWithValues: long.dropLast(150)))
      )
    case "blocks":
      for place in numbers where place / 400 % 2 == 0 { other.delete(Content.key(place)) }
    default: break
    }
    return (base, other)
  }

  @Test("the receiver ends equal, by exactly the operations that it lacked", arguments: shapes, 0..<4)
  func endsEqual(shape: String, seed: Int) throws {
    var random = SplitMix(seed: seed)
    let (source, target) = Self.contents(shape, &random, size: [40, 300, 1500, 4000][seed])
    let pump = try SyncPump(from: source, to: target, seed: seed)
    pump.pageLimit = [3, 50, 1000, SyncLimits.recordsPerRead][seed]
    try pump.run()

    #expect(pump.target.records == source.records)
    #expect(pump.target.values == source.values)
    #expect(Set(pump.planned.map(\.key)) == source.differences(from: target))
    #expect(pump.planned.count == source.differences(from: target).count)
    let tree = source.tree
    let content = KeyspacePosition(root: tree.root, entries: tree.count, bytes: tree.bytes)
    if source.values == target.values {
      let equal = SyncOutcome.equal(SyncPosition(index: LogIndex(100), content: content))
      #expect(pump.senderOutcome == equal)
      #expect(pump.receiverOutcome == equal)
      #expect(pump.toReceiver.messages == 1 && pump.toSender.messages == 1)
    } else {
      guard case .sealed(let position, rounds: 1, conflicts: 0) = pump.senderOutcome else {
        Issue.record("ended as \(String(describing: pump.senderOutcome))")
        return
      }
      #expect(position.content == content)
      #expect(pump.receiverOutcome == pump.senderOutcome)
    }
  }

  @Test("comparing only finds the same and brings nothing", arguments: shapes)
  func compareOnly(shape: String) throws {
    var random = SplitMix(seed: 1)
    let (source, target) = Self.contents(shape, &random, size: 700)
    let pump = try SyncPump(from: source, to: target, seed: 1, compareOnly: true)
    try pump.run()
    let keys = source.differences(from: target)
    #expect(Set(pump.planned.map(\.key)) == keys)
    #expect(pump.toReceiver.chunkBytes == 0)
    #expect(pump.target.values == target.values)
    guard !keys.isEmpty else { return }
    guard case .compared(let position, let differences) = pump.senderOutcome else {
      Issue.record("ended as \(String(describing: pump.senderOutcome))")
      return
    }
    #expect(differences == keys.count)
    #expect(position.content.root == target.tree.root)
  }

  @Test("each operation names the digest that the receiver held")
  func expectations() throws {
    var random = SplitMix(seed: 3)
    let (source, target) = Self.contents("many changed", &random, size: 900)
    let pump = try SyncPump(from: source, to: target, seed: 3)
    try pump.run()
    for operation in pump.planned {
      let held = target.values[operation.key].map { EntryDigest.of(operation.key, $0) }
      #expect(operation.expectation == held.map { .digest($0) } ?? .absent)
    }
  }

  @Test(
    "another writer's changes are never overwritten unseen, and the session says how it ended",
    arguments: 0..<40)
  func otherWriters(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let shape = ["few changed", "many changed", "interleaved", "to empty"][seed % 4]
    let (source, target) = Self.contents(shape, &random, size: 400)
    let pump = try SyncPump(from: source, to: target, seed: seed)
    pump.writerShare = [0.001, 0.01, 0.1, 0.5][seed / 4 % 4]
    try pump.run()
    switch pump.senderOutcome {
    case .sealed(let position, let rounds, _):
      #expect(1...SyncLimits.rounds ~= rounds)
      #expect(position.content.root == source.tree.root)
    case .differs(let position, let rounds, _):
      #expect(rounds == SyncLimits.rounds)
      #expect(position.content.root != source.tree.root)
      #expect(pump.otherWrites > 0)
    default: Issue.record("ended as \(String(describing: pump.senderOutcome))")
    }
    #expect(pump.receiverOutcome == pump.senderOutcome)
  }

  @Test("a few differences among many entries cost kilobytes and few round trips")
  func cheap() throws {
    let source = Content.numbered(0..<40_000) { [UInt8(truncatingIfNeeded: $0)] }
    var target = source
    for number in stride(from: 17, to: 40_000, by: 4000) { target.put(Content.key(number), [1, 2, 3]) }
    let pump = try SyncPump(from: source, to: target, seed: 1)
    try pump.run()
    #expect(pump.target.records == source.records)
    #expect(pump.toSender.controlBytes < 24 << 10, "\(pump.toSender)")
    #expect(pump.toReceiver.controlBytes < 2 << 10, "\(pump.toReceiver)")
    #expect(pump.toReceiver.expands <= 10)
  }

  /// A transfer that broke off is compared anew on the next connection: that must cost little, however often.
  @Test(
    "where the receiver has a beginning of it, this is found for a few kilobytes",
    arguments: [30, 700, 5000, 20_000, 39_000])
  func beginning(of count: Int) throws {
    let whole = Content.numbered(0..<40_000) { [UInt8(truncatingIfNeeded: $0)] }
    let part = Content.numbered(0..<count) { [UInt8(truncatingIfNeeded: $0)] }
    let pump = try SyncPump(from: whole, to: part, seed: 2)
    var answered = 0
    pump.onMessage = { _, message in
      guard case .frontier(let frontier) = message else { return }
      answered += 10 * frontier.fingerprints.count
      answered += frontier.keys.reduce(0) { $0 + $1.key.count + Digest.byteCount + 6 }
    }
    try pump.run()
    #expect(pump.target.records == whole.records)
    #expect(answered < 8 << 10, "\(answered) bytes")
  }

  @Test(
    "planning stays a window ahead of an edge that takes late, whatever differs",
    arguments: ["to empty", "from empty", "disjoint", "interleaved", "many changed", "every value"])
  func bounded(shape: String) throws {
    var random = SplitMix(seed: 5)
    var (source, target) = Self.contents(shape, &random, size: 30_000)
    if shape == "every value" {
      target = .numbered(0..<30_000) { _ in [42] }
      source = .numbered(0..<30_000) { _ in [43] }
    }
    let pump = try SyncPump(from: source, to: target, seed: 5)
    pump.pace = .takesLast
    pump.settings = ChunkSettings(bytes: 64 << 10, encoding: ChunkEncoding(codec: .zstd, level: 1))
    try pump.run()
    #expect(pump.target.records == source.records)
    #expect(pump.planned.count == source.differences(from: target).count)
    #expect(pump.mostAhead <= SyncLimits.plannedEntries, "\(pump.mostAhead)")
  }

  @Test("operations without comparison are sealed where they end")
  func withoutComparison() throws {
    var sender = SyncSender(
      SyncSender.Configuration(
        keyspace: .default, kind: .plain, session: SessionID(high: 1, low: 1), tree: nil))
    var receiver = SyncReceiver(
      SyncReceiver.Configuration(keyspace: .default, kind: .plain, tree: MerkleTree(), salt: 1))
    for case .send(let hello) in receiver.start() { #expect(try sender.receive(hello) == []) }
    for case .send(let hello) in sender.start() { #expect(try receiver.receive(hello) == []) }
    #expect(sender.operationsTaken(2) == [])
    #expect(sender.endOperations() == [.seal])

    var writer = ChunkWriter(firstOrdinal: sender.firstOrdinal)
    var content = Content()
    content.put([1], [1])
    try writer.append(put: [1], expecting: .any, value: [1])
    try writer.append(deleting: [2], expecting: .any)
    let chunk = try #require(
      try writer.nextChunk(settings: TransferController().decision.settings, ending: true))
    #expect(try receiver.receive(.chunk(chunk)) == [.seal])
    for case .send(let ack) in receiver.applied(through: Ordinal(2), index: LogIndex(9), conflicts: 0) {
      #expect(try sender.receive(ack) == [])
    }
    #expect(sender.acknowledged?.ordinal == Ordinal(2))
    let position = SyncPosition(
      index: LogIndex(10), content: KeyspacePosition(root: content.tree.root, entries: 1, bytes: 2))
    for case .send(let result) in receiver.sealed(tree: content.tree, index: LogIndex(10), salt: 3) {
      #expect(try sender.receive(result) == [.finish(.sealed(position, rounds: 0, conflicts: 0))])
    }
    #expect(try receiver.ended() == .sealed(position, rounds: 1, conflicts: 0))
  }

  @Test("a path that somebody made deep costs a round trip for 63 of its levels", arguments: 0..<3)
  func deepPath(seed: Int) throws {
    let chain = GroundKeys.chain(of: 1 << 18, seed: seed)
    let source = Content(Dictionary(uniqueKeysWithValues: chain.map { ($0, [1]) }))
    var target = source
    target.put(chain[chain.count - 3], [2])
    target.delete(chain[chain.count / 2])
    let pump = try SyncPump(from: source, to: target, seed: seed)
    try pump.run()
    #expect(pump.target.records == source.records && pump.planned.count == 2)
    let depth = source.tree.depth
    try #require(depth > 800)
    // A few more for entries and keys of the two places.
    #expect(pump.toReceiver.expands <= depth / 63 + 8, "\(pump.toReceiver.expands) for depth \(depth)")
  }
}
