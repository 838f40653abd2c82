import NIOCore
import StreamDiffCore
import StreamDiffWire

extension EntryPoints {
  /// Whole sessions against a peer that says whatever it likes: the two machines with real content,
  /// driven as their edges drive them.
  static let sync = [receiver, sender, comparingSender]

  /// What every message of ours may be at most.
  private static func checkSent(_ message: SyncMessage) throws(LawBroken) {
    let bytes = message.encode().readableBytes
    try require(bytes <= Limits.messageBytes, "a message of \(bytes) bytes is sent")
  }

  // MARK: Receiver

  static let receiver = EntryPoint(
    "sync-receiver", shape: .messages, maximumBytes: 16 << 10, seeds: { SyncSamples.toReceiver }
  ) { input, seen in
    var edge = try ReceiverEdge(content: SyncSamples.held)
    try edge.perform(edge.machine.start(), &seen)
    var mender = try ChunkMender()
    for var message in messages(input) {
      if case .chunk(var chunk) = message {
        mender.mend(&chunk)
        message = .chunk(chunk)
      }
      try edge.receive(message, &seen)
    }
    _ = try edge.machine.ended()
    seen.note("ended")
  }

  /// A receiver's edge without waiting: reads are answered and operations applied at once.
  private struct ReceiverEdge: ~Copyable {
    var machine: SyncReceiver
    private var content: MapContent
    private var reader = ChunkReader()  // fails for lack of memory alone
    private var store = StateMachine()
    private var index = LogIndex(10)
    private var salt: UInt64 = SyncSamples.salt

    init(content: MapContent) throws {
      self.content = content
      machine = SyncReceiver(SyncSamples.receiving(content.tree))
    }

    mutating func receive(_ message: SyncMessage, _ seen: inout Observation) throws {
      let actions = try machine.receive(message)
      if case .chunk(let chunk) = message {
        for run in try reader.receive(chunk) {
          seen.note(count: run.count)
          for operation in run.operations.operations { apply(operation) }
          index = index + 1
          try perform(machine.applied(through: run.lastOrdinal, index: index, conflicts: 0), &seen)
        }
      }
      try perform(actions, &seen)
    }

    private mutating func apply(_ operation: Operation) {
      switch operation.change {
      case .put(let value): content.put(operation.key, value)
      case .delete: content.delete(operation.key)
      }
    }

    mutating func perform(_ actions: [SyncAction], _ seen: inout Observation) throws {
      var waiting = actions[...]
      var steps = 0
      while let action = waiting.popFirst() {
        steps += 1
        try require(steps < 1000, "one message keeps the receiver busy for ever")
        switch action {
        case .send(let message):
          try checkSent(message)
          seen.note(message.word)
        case .readRecords(let request):
          let page = content.page(request)
          waiting += try machine.recordsRead(request.id, page.records, isEnd: page.isEnd)
        case .seal:
          content.settle()
          (index, salt) = (index + 1, salt &+ 1)
          waiting += machine.sealed(tree: content.tree, index: index, salt: salt)
        case .plan: throw LawBroken("a receiver plans")
        case .finish: seen.note("finished")
        }
      }
    }
  }

  // MARK: Sender

  static let sender = senderEntry("sync-sender", isCompareOnly: false)
  static let comparingSender = senderEntry("sync-comparison", isCompareOnly: true)

  private static func senderEntry(_ name: String, isCompareOnly: Bool) -> EntryPoint {
    EntryPoint(
      name, shape: .messages, maximumBytes: 16 << 10,
      seeds: { isCompareOnly ? SyncSamples.toComparison : SyncSamples.toSender }
    ) { input, seen in
      var edge = SenderEdge(content: SyncSamples.wanted, isCompareOnly: isCompareOnly)
      try edge.perform(edge.machine.start(), &seen)
      for message in messages(input) { try edge.perform(edge.machine.receive(message), &seen) }
    }
  }

  /// A sender's edge without waiting: what is planned is taken at once.
  private struct SenderEdge {
    var machine: SyncSender
    private let content: MapContent

    init(content: MapContent, isCompareOnly: Bool) {
      self.content = content
      machine = SyncSender(SyncSamples.sending(content.tree, isCompareOnly: isCompareOnly))
    }

    mutating func perform(_ actions: [SyncAction], _ seen: inout Observation) throws {
      var waiting = actions[...]
      var steps = 0
      while let action = waiting.popFirst() {
        steps += 1
        try require(steps < 1000, "one message keeps the sender busy for ever")
        switch action {
        case .send(let message):
          try checkSent(message)
          seen.note(message.word)
          if case .hello = message { continue }
          // Ordinals start where the peer says: what a chunk writer does with it must hold.
          if machine.peer != nil { _ = ChunkWriter(firstOrdinal: machine.firstOrdinal) }
        case .readRecords(let request):
          let page = content.page(request)
          waiting += machine.recordsRead(request.id, page.records, isEnd: page.isEnd)
        case .plan(let operations):
          try check(operations, seen: &seen)
          try require(
            machine.operationsAhead <= SyncLimits.plannedEntries + SyncLimits.windowEntries,
            "\(machine.operationsAhead) operations are planned ahead")
          waiting += machine.operationsTaken(operations.count)
        case .seal: seen.note("seal")
        case .finish(let outcome): seen.note("\(outcome)")
        }
      }
    }

    private func check(_ operations: [PlannedOperation], seen: inout Observation) throws {
      seen.note(count: operations.count)
      var last: [UInt8]?
      for operation in operations {
        if let last {
          try require(last.lexicographicallyPrecedes(operation.key), "planned keys do not rise")
        }
        last = operation.key
        try require(1...Limits.keyBytes ~= operation.key.count, "a key of \(operation.key.count) bytes")
        guard case .put = operation.change else { continue }
        try require(content.values[operation.key] != nil, "a put is planned of what is not there")
      }
    }
  }
}

extension SyncMessage {
  var word: String {
    switch self {
    case .hello: "hello"
    case .expand(let expand): "expand \(expand.mode)"
    case .frontier: "frontier"
    case .ack: "ack"
    case .sealResult: "seal result"
    case .hint: "hint"
    case .report: "report"
    case .chunk: "chunk"
    }
  }
}
