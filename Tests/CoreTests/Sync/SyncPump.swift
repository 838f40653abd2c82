import StreamDiffCore
import Testing

/// Both machines with edges made of memory. A seed decides what happens next: which message arrives,
/// which read is answered and how far, how many operations are taken, when another writer interferes.
final class SyncPump {
  enum Pace { case random, takesLast }

  struct Traffic {
    var messages = 0
    var expands = 0
    /// Of everything but chunks, about as encoded.
    var controlBytes = 0
    var chunkBytes = 0
  }

  private(set) var sender: SyncSender
  private(set) var receiver: SyncReceiver
  let source: Content
  private(set) var target: Content
  private(set) var toSender = Traffic()
  private(set) var toReceiver = Traffic()
  private(set) var senderOutcome: SyncOutcome?
  private(set) var receiverOutcome: SyncOutcome?
  private(set) var planned: [PlannedOperation] = []
  private(set) var mostAhead = 0
  private(set) var otherWrites = 0
  /// Every message, in order of sending.
  var onMessage: (SyncRole, SyncMessage) -> Void = { _, _ in }
  /// What the sender plans, as it plans it.
  var onPlan: ([PlannedOperation]) -> Void = { _ in }
  /// A message on its way: hostile tests change it.
  var tamper: (SyncRole, SyncMessage) -> SyncMessage = { $1 }
  /// Another writer's change, made just before the next operations are applied.
  var beforeApplying: ((inout Content) -> Void)?
  /// Of every step, how many belong to another writer of the target.
  var writerShare = 0.0
  var pace = Pace.random
  var pageLimit = SyncLimits.recordsPerRead
  var settings = ChunkSettings(bytes: 4096, encoding: ChunkEncoding(codec: .zstd, level: 1))

  private var random: SplitMix
  private var machine = StateMachine()
  private var writer: ChunkWriter
  private var reader: ChunkReader
  private var senderInbox: [SyncMessage] = []
  private var receiverInbox: [SyncMessage] = []
  private var senderReads: [RecordRequest] = []
  private var receiverReads: [RecordRequest] = []
  private var queue: ArraySlice<PlannedOperation> = []
  private var sealIsDue = false
  private var receiverSealIsDue = false
  private var index = LogIndex(100)
  private var conflicts: UInt64 = 0
  private var lastPlannedKey: [UInt8]?

  init(from source: Content, to target: Content, seed: Int, compareOnly: Bool = false) throws {
    (self.source, self.target) = (source, target)
    random = SplitMix(seed: seed)
    var sending = SyncSender.Configuration(
      keyspace: Content.name, kind: .plain, session: SessionID(high: 1, low: 2), tree: source.tree)
    sending.isCompareOnly = compareOnly
    sender = SyncSender(sending)
    var receiving = SyncReceiver.Configuration(
      keyspace: Content.name, kind: nil, tree: target.tree, salt: 0x0102_0304_0506_0708)
    receiving.index = index
    receiver = SyncReceiver(receiving)
    writer = ChunkWriter()
    reader = ChunkReader()
  }

  /// Runs until the sender is finished.
  func run() throws {
    try perform(sender.start(), of: .sender)
    try perform(receiver.start(), of: .receiver)
    var stepsLeft = 10_000_000
    while senderOutcome == nil {
      stepsLeft -= 1
      guard stepsLeft > 0 else {
        Issue.record("the session does not end")
        return
      }
      let steps = possibleSteps
      guard let step = steps.randomElement(using: &random) else {
        Issue.record("nothing can happen, and the session is not over")
        return
      }
      try step()
      if Double.random(in: 0..<1, using: &random) < writerShare { interfere() }
    }
    while !receiverInbox.isEmpty { try deliverToReceiver() }
    receiverOutcome = try receiver.ended()
  }

  private var possibleSteps: [() throws -> Void] {
    var steps: [() throws -> Void] = []
    if !senderInbox.isEmpty { steps.append(deliverToSender) }
    if !receiverInbox.isEmpty { steps.append(deliverToReceiver) }
    if !senderReads.isEmpty { steps.append(readForSender) }
    if !receiverReads.isEmpty { steps.append(readForReceiver) }
    if receiverSealIsDue { steps.append(seal) }
    if pace == .random || steps.isEmpty, !queue.isEmpty || sealIsDue { steps.append(take) }
    return steps
  }

  // MARK: The sender's edge

  private func deliverToSender() throws {
    try perform(sender.receive(senderInbox.removeFirst()), of: .sender)
  }

  private func readForSender() throws {
    let request = senderReads.removeFirst()
    let page = source.page(request.ranges, limit: limit())
    try perform(sender.recordsRead(request.id, page.records, isEnd: page.isEnd), of: .sender)
  }

  private func take() throws {
    guard let next = queue.first else {
      sealIsDue = false
      while let chunk = try writer.nextChunk(settings: settings, ending: true) {
        send(.chunk(chunk), from: .sender)
        if chunk.isLast { return }
      }
      return
    }
    queue.removeFirst()
    switch next.change {
    case .put(let count):
      let value = try #require(source.values[next.key])
      #expect(value.count == count)
      try writer.append(put: next.key, expecting: next.expectation, value: value)
    case .delete: try writer.append(deleting: next.key, expecting: next.expectation)
    }
    try perform(sender.operationsTaken(1), of: .sender)
    while let chunk = try writer.nextChunk(settings: settings) { send(.chunk(chunk), from: .sender) }
  }

  // MARK: The receiver's edge

  private func deliverToReceiver() throws {
    let message = receiverInbox.removeFirst()
    let actions = try receiver.receive(message)
    if case .chunk(let chunk) = message {
      for run in try reader.receive(chunk) { try apply(run) }
    }
    try perform(actions, of: .receiver)
  }

  private func apply(_ run: OperationRun) throws {
    beforeApplying?(&target)
    beforeApplying = nil
    index = index + 1
    let batch = OperationBatch(
      keyspace: Content.name, kind: .plain, firstOrdinal: run.firstOrdinal, operations: run.operations)
    let command = try Command(decoding: Command.operations(batch).encode())
    guard case .applied(_, let refused) = machine.apply(command, at: index, to: &target) else {
      Issue.record("a batch was refused")
      return
    }
    target.settle()
    conflicts += UInt64(refused.count)
    try perform(receiver.applied(through: run.lastOrdinal, index: index, conflicts: conflicts), of: .receiver)
  }

  private func readForReceiver() throws {
    let request = receiverReads.removeFirst()
    let page = target.page(request.ranges, limit: limit())
    try perform(receiver.recordsRead(request.id, page.records, isEnd: page.isEnd), of: .receiver)
  }

  private func seal() throws {
    receiverSealIsDue = false
    index = index + 1
    try perform(receiver.sealed(tree: target.tree, index: index, salt: random.next()), of: .receiver)
  }

  /// Another writer changes the target.
  private func interfere() {
    otherWrites += 1
    if Bool.random(using: &random), let victim = target.records.randomElement(using: &random) {
      target.delete(victim.key)
    } else {
      let key = source.records.randomElement(using: &random)?.key ?? [1]
      target.put(Bool.random(using: &random) ? key : key + [0], random.bytes(3))
    }
  }

  // MARK: Both

  private func limit() -> Int { pace == .random ? .random(in: 1...pageLimit, using: &random) : pageLimit }

  private func perform(_ actions: [SyncAction], of role: SyncRole) throws {
    for action in actions {
      switch (action, role) {
      case (.send(let message), _): send(message, from: role)
      case (.readRecords(let request), .sender): senderReads.append(request)
      case (.readRecords(let request), .receiver): receiverReads.append(request)
      case (.plan(let operations), _):
        for operation in operations {
          if let last = lastPlannedKey {
            #expect(last.lexicographicallyPrecedes(operation.key), "keys do not rise")
          }
          lastPlannedKey = operation.key
        }
        onPlan(operations)
        planned += operations
        queue += operations
        mostAhead = max(mostAhead, sender.operationsAhead)
      case (.seal, .sender): (sealIsDue, lastPlannedKey) = (true, nil)
      case (.seal, .receiver): receiverSealIsDue = true
      case (.finish(let outcome), .sender): senderOutcome = outcome
      case (.finish(let outcome), .receiver): receiverOutcome = outcome
      }
    }
  }

  private func send(_ original: SyncMessage, from role: SyncRole) {
    let message = tamper(role, original)
    onMessage(role, message)
    switch role {
    case .sender:
      toReceiver.count(message)
      receiverInbox.append(message)
    case .receiver:
      toSender.count(message)
      senderInbox.append(message)
    }
  }
}

extension SyncPump.Traffic {
  fileprivate mutating func count(_ message: SyncMessage) {
    messages += 1
    switch message {
    case .chunk(let chunk): chunkBytes += chunk.payload.count + 40
    case .expand(let expand):
      expands += 1
      controlBytes += 10 + 6 * expand.runs.count + 3 * expand.release.count
    case .frontier(let frontier):
      controlBytes += 10 + 8 * frontier.fingerprints.count + 2 * frontier.counts.count
      controlBytes += 2 * frontier.sizes.count + frontier.keys.reduce(0) { $0 + $1.key.count + 40 }
    default: controlBytes += 150
    }
  }
}
