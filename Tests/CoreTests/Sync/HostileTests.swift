import StreamDiffCore
import Testing

@Suite("A hostile peer")
struct HostileTests {
  static let tree = Content.numbered(0..<2000) { [UInt8(truncatingIfNeeded: $0)] }.tree

  static func hello(_ role: SyncRole, _ change: (inout Hello) -> Void = { _ in }) -> SyncMessage {
    var hello = Hello(role: role, keyspace: .default)
    hello.session = SessionID(high: 1, low: 1)
    hello.root = SHA256.digest([1])
    (hello.entries, hello.bytes, hello.credit) = (1000, 9000, 1 << 20)
    change(&hello)
    return .hello(hello)
  }

  static func receiver(greeted: Bool = true) throws -> SyncReceiver {
    var receiver = SyncReceiver(
      SyncReceiver.Configuration(keyspace: .default, kind: .plain, tree: tree, salt: 7))
    _ = receiver.start()
    if greeted { _ = try receiver.receive(hello(.sender)) }
    return receiver
  }

  static func sender(greeted: Bool = true) throws -> SyncSender {
    var sender = SyncSender(
      SyncSender.Configuration(
        keyspace: .default, kind: .plain, session: SessionID(high: 1, low: 1), tree: tree))
    _ = sender.start()
    if greeted { _ = try sender.receive(hello(.receiver)) }
    return sender
  }

  static func chunk(isLast: Bool) -> SyncMessage {
    let header = ChunkHeader(firstOrdinal: Ordinal(1), plainLength: 0, plainCRC: .empty, wireCRC: .empty)
    return .chunk(Chunk(header: header, sequence: 1, isLast: isLast, payload: []))
  }

  static func expand(
    _ request: UInt64, of source: UInt64 = 0, _ mode: Expand.Mode = .tree, _ runs: [Range<UInt32>] = [0..<1],
    release: [UInt64] = []
  ) -> SyncMessage {
    .expand(Expand(request: request, source: source, mode: mode, runs: runs, release: release))
  }

  // MARK: Hellos

  @Test(
    "a hello that does not fit ends the session with its reason",
    arguments: [
      ("role", .protocolViolation), ("version", .unsupported), ("keyspace", .protocolViolation),
      ("kind", .refused),
    ] as [(String, SyncError.Code)])
  func hellos(field: String, code: SyncError.Code) throws {
    func damage(_ hello: inout Hello) {
      switch field {
      case "role": hello.role = hello.role == .sender ? .receiver : .sender
      case "version": hello.version = 2
      case "keyspace": hello.keyspace = KeyspaceName("other")!
      default: hello.kind = .directory
      }
    }
    var receiver = try Self.receiver(greeted: false)
    var sender = try Self.sender(greeted: false)
    #expect { try receiver.receive(Self.hello(.sender, damage)) } throws: { ($0 as? SyncError)?.code == code }
    #expect { try sender.receive(Self.hello(.receiver, damage)) } throws: { ($0 as? SyncError)?.code == code }
  }

  @Test("a sender has a session, and a root when it compares; a receiver has a root")
  func incompleteHellos() throws {
    var receiver = try Self.receiver(greeted: false)
    #expect(throws: SyncError.self) { try receiver.receive(Self.hello(.sender) { $0.session = nil }) }
    #expect(throws: SyncError.self) {
      try receiver.receive(Self.hello(.sender) { ($0.root, $0.isCompareOnly) = (nil, true) })
    }
    var sender = try Self.sender(greeted: false)
    #expect(throws: SyncError.self) { try sender.receive(Self.hello(.receiver) { $0.root = nil }) }
  }

  // MARK: Out of turn

  @Test("a message out of turn is a violation")
  func outOfTurn() throws {
    let frontier = SyncMessage.frontier(Frontier(request: 1))
    let ack = SyncMessage.ack(Ack(ordinal: .zero, index: .zero, conflicts: 0))
    let result = SyncMessage.sealResult(
      SealResult(
        index: .zero, root: Self.tree.root, entries: 0, bytes: 0, isEqual: true, salt: 0, conflicts: 0))
    for message in [frontier, ack, result, .hint(AdaptationHint()), Self.expand(1), Self.chunk(isLast: true)]
    {
      var (receiver, sender) = (try Self.receiver(greeted: false), try Self.sender(greeted: false))
      #expect(throws: SyncError.self) { try receiver.receive(message) }
      #expect(throws: SyncError.self) { try sender.receive(message) }
    }
    for message in [Self.hello(.sender), frontier, ack, result, .hint(AdaptationHint())] {
      var receiver = try Self.receiver()
      #expect(throws: SyncError.self) { try receiver.receive(message) }
    }
    for message in [Self.hello(.receiver), result, Self.expand(1), Self.chunk(isLast: false)] {
      var sender = try Self.sender()
      #expect(throws: SyncError.self) { try sender.receive(message) }
    }
    var sealing = try Self.receiver()
    #expect(try sealing.receive(Self.chunk(isLast: true)) == [.seal])
    for message in [Self.expand(1), Self.chunk(isLast: false)] {
      #expect(throws: SyncError.self) { try sealing.receive(message) }
    }
    #expect(throws: SyncError.self) { try sealing.ended() }
  }

  @Test("a sender that compares only brings no chunk, one without a root does not compare")
  func roles() throws {
    var comparing = try Self.receiver(greeted: false)
    _ = try comparing.receive(Self.hello(.sender) { $0.isCompareOnly = true })
    #expect(throws: SyncError.self) { try comparing.receive(Self.chunk(isLast: false)) }
    var bringing = try Self.receiver(greeted: false)
    _ = try bringing.receive(Self.hello(.sender) { $0.root = nil })
    #expect(throws: SyncError.self) { try bringing.receive(Self.expand(1)) }
  }

  @Test("nobody acknowledges what was not sent, or takes an acknowledgement back")
  func acks() throws {
    var sender = try Self.sender()
    #expect(throws: SyncError.self) {
      try sender.receive(.ack(Ack(ordinal: Ordinal(1), index: LogIndex(1), conflicts: 0)))
    }
  }

  // MARK: Questions

  @Test(
    "a question that breaks a rule is refused",
    arguments: [
      [expand(0)], [expand(2)], [expand(1), expand(1)], [expand(1, of: 5)], [expand(1, .tree, [])],
      [expand(1, .tree, [1..<2])], [expand(1, .tree, [0..<0])], [expand(1, .tree, [0..<1, 0..<1])],
      [expand(1, .tree, [0..<UInt32.max])], [expand(1, release: [9])], [expand(1, release: [0, 0])],
      [expand(1, release: [0]), expand(2)], [expand(1), expand(2, of: 1, .tree, [3..<5, 2..<3])],
      [expand(1, .entries), expand(2)],
    ])
  func questions(messages: [SyncMessage]) throws {
    var receiver = try Self.receiver()
    for message in messages.dropLast() { _ = try receiver.receive(message) }
    #expect { try receiver.receive(messages[messages.count - 1]) } throws: {
      ($0 as? SyncError)?.code == .protocolViolation
    }
  }

  @Test("the same question over and over ends the session, a comparison of everything does not")
  func repeatedQuestions() throws {
    var receiver = try Self.receiver()
    var asked: UInt64 = 0
    #expect {
      while asked < 1_000_000 {
        asked += 1
        _ = try receiver.receive(Self.expand(asked, release: asked > 1 ? [asked - 1] : []))
      }
    } throws: {
      ($0 as? SyncError)?.code == .limit
    }
    #expect(asked > 4 * 2000 && asked < 100_000, "\(asked)")
  }

  @Test("a session has so many patches as it has rounds")
  func repeatedPatches() throws {
    var receiver = try Self.receiver()
    for patch in 1...SyncLimits.rounds {
      #expect(try receiver.receive(Self.chunk(isLast: true)) == [.seal])
      _ = receiver.sealed(tree: Self.tree, index: LogIndex(UInt64(patch)), salt: 1)
    }
    #expect {
      try receiver.receive(Self.chunk(isLast: true))
    } throws: {
      ($0 as? SyncError)?.code == .limit
    }
  }

  @Test("what a sender may make a receiver keep is bounded")
  func bounds() throws {
    let large = Content.numbered(0..<40_000) { _ in [] }.tree
    func receiver() throws -> SyncReceiver {
      var receiver = SyncReceiver(
        SyncReceiver.Configuration(keyspace: .default, kind: .plain, tree: large, salt: 7))
      _ = try receiver.receive(Self.hello(.sender))
      return receiver
    }
    func expectLimit(_ receiver: inout SyncReceiver, _ message: SyncMessage) {
      do throws(SyncError) {
        _ = try receiver.receive(message)
        Issue.record("\(message) was answered")
      } catch {
        #expect(error.code == .limit)
      }
    }
    var entries = try receiver()
    expectLimit(&entries, Self.expand(1, .entries))

    func partCount(_ actions: [SyncAction]) -> UInt32 {
      guard case .send(.frontier(let frontier)) = actions.first else { return 0 }
      return UInt32(frontier.counts.count)
    }
    var parts = try receiver()
    let few = partCount(try parts.receive(Self.expand(1)))
    let many = partCount(try parts.receive(Self.expand(2, of: 1, .tree, [0..<few])))
    #expect(many > UInt32(SyncLimits.partsPerRequest))
    var keys = parts
    expectLimit(&parts, Self.expand(3, of: 2, .tree, [0..<UInt32(SyncLimits.partsPerRequest) + 1]))
    expectLimit(&keys, Self.expand(3, of: 2, .keys, [0..<UInt32(SyncLimits.boundsPerRequest) + 1]))

    var kept = try receiver()
    _ = try kept.receive(Self.expand(1))
    var total = 1 + Int(few)
    for request in 2..<10_000 as Range<UInt64> where total + Int(many) <= SyncLimits.keptParts {
      total += Int(partCount(try kept.receive(Self.expand(request, of: 1, .tree, [0..<few]))))
      if total + Int(many) > SyncLimits.keptParts {
        expectLimit(&kept, Self.expand(request + 1, of: 1, .tree, [0..<few]))
      }
    }
    #expect(total > SyncLimits.keptParts - Int(many))
  }

  // MARK: Answers

  @Test("an answer that cannot be is refused")
  func answers() throws {
    let good = Frontier(request: 1, fingerprints: [1, 2], counts: [400, 600], sizes: [2])
    var sender = try Self.sender()
    #expect(throws: Never.self) { try sender.receive(.frontier(good)) }
    let damages: [(inout Frontier) -> Void] = [
      { $0.request = 2 }, { $0.sizes = [] }, { $0.sizes = [1] }, { $0.sizes = [1, 1] },
      { $0.counts = [1000] },
      { $0.counts = [400, 601] }, { $0.counts = [0, 1000] }, { $0.fingerprints = [1] },
      { $0 = Frontier(request: 1, fingerprints: [1], counts: [1000], sizes: [1]) },
      { $0.keys = [KeyDigest(key: [1], digest: Self.tree.root)] }, { $0.sizes = [UInt32.max] },
    ]
    for damage in damages {
      var sender = try Self.sender()
      var frontier = good
      damage(&frontier)
      #expect(throws: SyncError.self) { try sender.receive(.frontier(frontier)) }
    }
  }

  @Test(
    "a session whose messages are changed at random ends with a typed error or an outcome", arguments: 0..<200
  )
  func fuzz(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let shape = SyncTests.shapes[seed % SyncTests.shapes.count]
    let (source, target) = SyncTests.contents(shape, &random, size: 600)
    let pump = try SyncPump(from: source, to: target, seed: seed)
    var tamperer = Tamperer(random: random)
    pump.tamper = { role, message in
      guard Int.random(in: 0..<6, using: &tamperer.random) == 0 else { return message }
      return tamperer.changed(message)
    }
    do {
      try pump.run()
    } catch is SyncError {}
  }
}

/// Changes fields of messages.
private struct Tamperer {
  var random: SplitMix

  mutating func changed(_ message: SyncMessage) -> SyncMessage {
    switch message {
    case .hello(var hello):
      switch random.next() % 3 {
      case 0: hello.entries = number()
      case 1: hello.salt = number()
      default: hello.root = SHA256.digest([1])
      }
      return .hello(hello)
    case .expand(var expand):
      switch random.next() % 5 {
      case 0: expand.source = number()
      case 1: expand.mode = [.tree, .entries, .keys][Int(random.next() % 3)]
      case 2: expand.runs = [UInt32(random.next() % 4)..<UInt32(4 + random.next() % 70)]
      case 3: expand.runs.removeLast()
      default: expand.release.append(number())
      }
      return .expand(expand)
    case .frontier(var frontier):
      switch random.next() % 6 {
      case 0: if !frontier.fingerprints.isEmpty { frontier.fingerprints.shuffle(using: &random) }
      case 1: if !frontier.counts.isEmpty { frontier.counts.shuffle(using: &random) }
      case 2: frontier.keys.shuffle(using: &random)
      case 3: if !frontier.keys.isEmpty { frontier.keys.removeLast() }
      case 4: frontier.fingerprints = frontier.fingerprints.map { _ in random.next() }
      default: frontier.sizes = frontier.sizes.map { _ in UInt32(truncatingIfNeeded: number()) }
      }
      return .frontier(frontier)
    case .ack(var ack):
      ack.ordinal = Ordinal(number())
      return .ack(ack)
    case .sealResult(var result):
      switch random.next() % 3 {
      case 0: result.isEqual.toggle()
      case 1: (result.root, result.isEqual) = (SHA256.digest([2]), false)
      default: result.entries = number()
      }
      return .sealResult(result)
    case .hint(var hint):
      hint.credit = number()
      return .hint(hint)
    case .report(var report):
      report.chunk = UInt32(truncatingIfNeeded: number())
      return .report(report)
    case .chunk(var chunk):
      if !chunk.payload.isEmpty { chunk.payload[Int(random.next() % UInt64(chunk.payload.count))] ^= 1 }
      if random.next() % 2 == 0 { chunk.header.wireCRC = chunk.computedWireCRC }
      return .chunk(chunk)
    }
  }

  private mutating func number() -> UInt64 {
    [0, 1, 2, 63, 65, UInt64(UInt32.max), UInt64(Int.max), .max, random.next() % 1000][Int(random.next() % 9)]
  }
}
