import DequeModule
import StreamDiffCore
import Synchronization

/// Drives a `SyncReceiver`: one task takes messages in, decodes chunks and hands their operations to the
/// sink; one sends. A sink without room holds the first one up, and so the sender.
final class ReceiverSession<Sink: SyncSink, Transport: SyncTransport>: Sendable {
  private struct State {
    var machine: SyncReceiver
    var content: any SyncContent
    /// Runs that the sink has and is not done with.
    var runsInFlight = 0
    /// Of the session, over all its connections.
    var conflicts: UInt64
    var failure: (any Error)?
    /// Only the newest one matters.
    var acknowledgement: SyncMessage?
    /// What the last hint said, and the next one where it says something new.
    var hint = AdaptationHint()
    var isHintDue = false
    var outgoing: Deque<SyncMessage> = []
    var isOver = false
    /// The sending task, while there is nothing to send.
    var sender: CheckedContinuation<Void, Never>?
    /// The receiving task, while it waits for the sink or for room to send.
    var receiver: CheckedContinuation<Void, Never>?

    var hasOutgoing: Bool { isHintDue || acknowledgement != nil || !outgoing.isEmpty }

    mutating func hint(credit: Int) {
      guard hint.credit != credit else { return }
      hint.credit = UInt64(credit)
      isHintDue = true
    }

    mutating func hint(_ pace: ReceiverPace) {
      (hint.decodeBytesPerSecond, hint.applyBytesPerSecond) = (pace.decode, pace.apply)
      isHintDue = true
    }

    /// Behind the hello.
    mutating func takeHint() -> SyncMessage? {
      guard isHintDue, outgoing.isEmpty else { return nil }
      isHintDue = false
      return .hint(hint)
    }
  }

  private let sink: Sink
  private let transport: Transport
  private let meter: SyncMeter
  private let course: SessionCourse
  private let tuning: SessionTuning
  private let pool: ReadPool
  /// Decided over earlier connections.
  private let lastOrdinal: Ordinal
  private let state: Mutex<State>

  init(
    sink: Sink, opening: SinkOpening, transport: Transport, options: SyncOptions, pool: ReadPool
  ) {
    self.sink = sink
    self.transport = transport
    self.pool = pool
    meter = options.meter
    course = options.course
    tuning = options.tuning
    lastOrdinal = opening.lastOrdinal
    let content = opening.content
    var configuration = SyncReceiver.Configuration(
      keyspace: options.keyspace, kind: options.kind, tree: content.tree,
      salt: .random(in: .min ... .max))
    configuration.index = content.index
    configuration.lastOrdinal = opening.lastOrdinal
    configuration.conflicts = opening.conflicts
    state = Mutex(
      State(machine: SyncReceiver(configuration), content: content, conflicts: opening.conflicts))
  }

  /// - Parameter opening: the sender's hello, where it has been read already.
  func run(opening: SyncMessage?) async throws -> SyncOutcome {
    try await withThrowingTaskGroup(of: SyncOutcome?.self) { group in
      defer { end() }
      group.addTask { try await self.receiveAll(opening) }
      group.addTask {
        try await self.sendAll()
        return nil
      }
      var outcome: SyncOutcome?
      while let ended = try await group.next() { outcome = ended ?? outcome }
      guard let outcome else { throw SyncFailure(.endedEarly, "the session ended before it was over") }
      return outcome
    }
  }

  // MARK: In

  private func receiveAll(_ opening: SyncMessage?) async throws -> SyncOutcome {
    course.connectionBegan()
    try await perform(state.withLock { $0.machine.start() })
    tuning.whenChanged { [weak self] in self?.hint() }
    hint()
    let intake = ChunkIntake(firstOrdinal: lastOrdinal + 1)
    if let opening { try await receive(opening, intake) }
    while !isSettled, let message = try await transport.receive() { try await receive(message, intake) }
    let outcome = try state.withLock { try $0.machine.ended() }
    try await wait { $0.runsInFlight == 0 }
    end()
    return outcome
  }

  /// Nothing more can come of it, and its sender learns that and the end at once.
  private var isSettled: Bool { transport.endsByReturning && state.withLock { $0.machine.isFinished } }

  private func receive(_ message: SyncMessage, _ intake: ChunkIntake) async throws {
    let actions = try state.withLock { try $0.machine.receive(message) }
    switch message {
    case .hello: course.sends(chunk: meter.report.map { Int($0.chunk) } ?? AdaptationSettings().chunkMax)
    case .chunk(let chunk): try await take(chunk, intake)
    case .report(let report): meter.update(report: report)
    default: break
    }
    try await perform(actions)
  }

  private func take(_ chunk: Chunk, _ intake: ChunkIntake) async throws {
    let bytes = Int(chunk.header.plainLength)
    let begun = intake.now
    let runs = try intake.read(chunk)
    let decoded = intake.now
    for run in runs { try await apply(run) }
    let now = intake.now
    meter.plainBytes.add(bytes)
    meter.payloadBytes.add(chunk.payload.count)
    if course.gotThrough(bytes) { hint() }
    if intake.pace.took(bytes, decoding: decoded - begun, applying: now - decoded, now: now) {
      let pace = intake.pace
      wake { $0.hint(pace) }
    }
  }

  private func perform(_ actions: [SyncAction]) async throws {
    var waiting = Deque(actions)
    while let action = waiting.popFirst() {
      switch action {
      case .send(let message): try await enqueue(message)
      case .readRecords(let request):
        let content = state.withLock { $0.content }
        let (records, isEnd) = try await pool.run { try content.answer(request) }
        waiting += try state.withLock { try $0.machine.recordsRead(request.id, records, isEnd: isEnd) }
      case .seal: waiting += try await seal()
      case .plan: preconditionFailure("a receiver plans nothing")
      case .finish: break  // `receiveAll` sees it, or its sender ends the session
      }
    }
  }

  private func apply(_ run: OperationRun) async throws {
    meter.operations.add(run.count)
    state.withLock { $0.runsInFlight += 1 }
    do {
      try await sink.apply(run) { self.applied(run, $0) }
    } catch {
      state.withLock { $0.runsInFlight -= 1 }
      throw error
    }
  }

  /// On any thread.
  private func applied(_ run: OperationRun, _ result: Result<AppliedRun, any Error>) {
    wake { state in
      state.runsInFlight -= 1
      switch result {
      case .success(let applied):
        state.conflicts += UInt64(applied.conflicts)
        meter.appliedOperations.add(run.count - applied.conflicts)
        course.applied(run.count)
        meter.conflicts.add(applied.conflicts)
        // It is shown that the sink takes what comes.
        state.hint(credit: SyncLimits.openCredit)
        let actions = state.machine.applied(
          through: run.lastOrdinal, index: applied.index, conflicts: state.conflicts)
        for case .send(let message) in actions { state.acknowledgement = message }
      case .failure(let error): if state.failure == nil { state.failure = error }
      }
    }
  }

  private func seal() async throws -> [SyncAction] {
    try await wait { $0.runsInFlight == 0 }
    let content = try await sink.seal()
    return state.withLock { state in
      state.content = content
      return state.machine.sealed(tree: content.tree, index: content.index, salt: .random(in: .min ... .max))
    }
  }

  // MARK: Out

  /// Tells the sender the wishes, where they have changed. A hint takes the place of the one before.
  private func hint() {
    wake { state in
      // Under the lock: of two that come here at once the newer wishes are told last.
      let wishes = tuning.wishes.limited(toChunks: course.chunkLimit)
      guard state.hint.settings != wishes else { return }
      state.hint.settings = wishes
      state.isHintDue = true
    }
  }

  private func enqueue(_ message: SyncMessage) async throws {
    try await wait { $0.outgoing.count < SessionLimits.receiverMessages }
    wake { $0.outgoing.append(message) }
  }

  private func sendAll() async throws {
    while true {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if state.isOver || state.failure != nil || state.hasOutgoing { return true }
          state.sender = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
      guard let message = try takeOutgoing() else {
        if state.withLock({ $0.isOver }) { return }
        // Woken by a change that leaves nothing to say: tunables without a new wish.
        continue
      }
      do {
        try await transport.send(message)
      } catch  where message.isHint {
        // A sender that is done takes none; why it ended is told where messages come in. What else is said after it
        // fails for itself: nobody is left waiting for room here.
      }
    }
  }

  /// What is applied is acknowledged before anything else that was said later.
  private func takeOutgoing() throws -> SyncMessage? {
    var message: SyncMessage?
    try wake { state in
      if let failure = state.failure { throw failure }
      message = state.takeHint() ?? state.acknowledgement.take() ?? state.outgoing.popFirst()
    }
    return message
  }

  // MARK: Waiting

  private func wake(_ change: (inout State) throws -> Void) rethrows {
    let (sender, receiver) = try state.withLock { state in
      try change(&state)
      return (state.sender.take(), state.receiver.take())
    }
    sender?.resume()
    receiver?.resume()
  }

  /// For the receiving task alone.
  /// - Throws: what the sink failed with.
  private func wait(until isTrue: @Sendable (borrowing State) -> Bool) async throws {
    while true {
      let isDone = try state.withLock { state in
        if let failure = state.failure { throw failure }
        return isTrue(state)
      }
      if isDone { return }
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if state.failure != nil || state.isOver || isTrue(state) { return true }
          state.receiver = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
      if state.withLock({ $0.isOver }) { throw CancellationError() }
    }
  }

  /// Lets everybody go who waits here.
  private func end() { wake { $0.isOver = true } }
}

/// Of the receiving task: what it has of chunks between messages, and what they cost it.
private final class ChunkIntake {
  private let firstOrdinal: Ordinal
  /// From the first chunk on.
  private var reader: ChunkReader?
  var pace = ReceiverPace()
  private let start = ContinuousClock.now

  init(firstOrdinal: Ordinal) { self.firstOrdinal = firstOrdinal }

  var now: Duration { start.duration(to: .now) }

  func read(_ chunk: Chunk) throws(SyncError) -> [OperationRun] {
    if reader == nil { reader = ChunkReader(firstOrdinal: firstOrdinal) }
    return try reader?.receive(chunk) ?? []
  }
}

extension SyncMessage {
  fileprivate var isHint: Bool { if case .hint = self { true } else { false } }
}
