import StreamDiffCore
import Synchronization

/// Drives a `SyncSender`: four tasks around the machine, which is stepped under a lock.
///
///     receive ─ messages ─▶ machine ─┬─ control ─▶ sends; reads records on the pool, tells the machine
///                              ▲     └─ work ────▶ reads values on the pool ─ batches ─▶ compresses, sends
///                              └────────────────────── taken ────────────────────────────────┘
///
/// Reading the next values, compressing these and sending the last thus overlap. What waits between is
/// bounded by the machine (planned operations, one request of each kind) and by `Handoff`.
final class SenderSession<Transport: SyncTransport>: Sendable {
  private enum Control: Sendable {
    case send(SyncMessage)
    case read(RecordRequest)
    /// The newest of those that came since it was asked for.
    case report
  }

  private struct State {
    var machine: SyncSender
    var flight = FlightWindow(credit: SyncLimits.credit)
    /// Of the receiver, as its last position says.
    var peerEntries = 0
    /// Of this round: operations that the caller does not want, and those that are done.
    var withheld = 0
    var wanted = 0
    var outcome: SyncOutcome?
    /// What waits to be sent of how this side sends: only the newest one matters.
    var report: AdaptationReport?
    var isOver = false
    /// The sending task, while it has no credit.
    var waiter: CheckedContinuation<Void, Never>?
  }

  private let transport: Transport
  private let options: SyncOptions
  private let pool: ReadPool
  private let answer: @Sendable (RecordRequest) throws -> (records: [DigestRecord], isEnd: Bool)
  /// Turns work into batches.
  private let feed: @Sendable (SenderSession) async throws -> Void
  private let batches: Handoff<SendBatch>
  private let adaptation: SenderAdaptation
  private let state: Mutex<State>
  private let control: AsyncStream<Control>
  private let controlInput: AsyncStream<Control>.Continuation
  private let work: AsyncStream<SendWork>
  private let workInput: AsyncStream<SendWork>.Continuation

  /// Compares, and brings what differs.
  convenience init(source: some SyncSource, transport: Transport, options: SyncOptions, pool: ReadPool) {
    var configuration = SyncSender.Configuration(
      keyspace: options.keyspace, kind: options.kind, session: options.session, tree: source.tree)
    configuration.index = source.index
    configuration.isCompareOnly = options.isCompareOnly
    let batches = Handoff<SendBatch>(capacity: SessionLimits.waitingBatches)
    let planner = SendPlanner(source: source, options: options, pool: pool, batches: batches)
    self.init(configuration, transport, options, pool, batches) { request in
      try source.answer(request)
    } feed: { session in
      try await planner.run(session.work, entries: { session.state.withLock { $0.peerEntries } }) {
        session.taken($0.count, withheld: $0.withheld, wanted: $0.wanted)
      }
    }
  }

  /// Brings operations without comparison.
  convenience init(
    operations: some OperationSource, transport: Transport, options: SyncOptions, pool: ReadPool
  ) {
    let configuration = SyncSender.Configuration(
      keyspace: options.keyspace, kind: options.kind, session: options.session, tree: nil)
    let batches = Handoff<SendBatch>(capacity: SessionLimits.waitingBatches)
    let feed = OperationFeed(source: operations, batches: batches)
    self.init(configuration, transport, options, pool, batches) { _ in
      preconditionFailure("nothing is compared")
    } feed: { session in
      try await feed.run(session.work) { session.step { $0.machine.endOperations() } }
    }
  }

  private init(
    _ configuration: SyncSender.Configuration, _ transport: Transport, _ options: SyncOptions,
    _ pool: ReadPool, _ batches: Handoff<SendBatch>,
    answer: @escaping @Sendable (RecordRequest) throws -> (records: [DigestRecord], isEnd: Bool),
    feed: @escaping @Sendable (SenderSession) async throws -> Void
  ) {
    var configuration = configuration
    configuration.resumes = options.course.hasBegun
    configuration.acknowledged = options.course.acknowledged
    (self.transport, self.options, self.pool, self.batches) = (transport, options, pool, batches)
    (self.answer, self.feed) = (answer, feed)
    adaptation = SenderAdaptation(options)
    state = Mutex(State(machine: SyncSender(configuration)))
    (control, controlInput) = AsyncStream.makeStream()
    (work, workInput) = AsyncStream.makeStream()
  }

  /// - Parameter opening: the receiver's hello, where it has been read already.
  func run(opening: SyncMessage?) async throws -> SyncOutcome {
    step { $0.machine.start() }
    if let opening { try receive(opening) }
    return try await withThrowingTaskGroup(of: Bool.self) { group in
      defer { end() }
      group.addTask {
        try await self.receiveAll()
        return true
      }
      group.addTask {
        try await self.runControl()
        return false
      }
      group.addTask {
        try await self.feed(self)
        return false
      }
      group.addTask {
        // Looks and decides as long as anything is sent.
        let adapting = Task { try await self.adapt() }
        defer { adapting.cancel() }
        try await self.sendBatches()
        return false
      }
      return try await finish(&group)
    }
  }

  /// When all that was to be sent is sent, the peer's end is awaited, or ours is enough.
  private func finish(_ group: inout ThrowingTaskGroup<Bool, any Error>) async throws -> SyncOutcome {
    var sending = 3
    var isPeerDone = false
    while sending > 0 {
      guard let wasReceiving = try await group.next() else { break }
      if wasReceiving { isPeerDone = true } else { sending -= 1 }
    }
    guard let outcome = state.withLock({ $0.outcome }) else {
      throw SyncFailure(.endedEarly, "the session ended before it was over")
    }
    if !isPeerDone {
      if try await transport.finish() {
        while try await group.next() != nil {}
      } else {
        group.cancelAll()
      }
    }
    return outcome
  }

  // MARK: Messages in

  private func receiveAll() async throws {
    while let message = try await transport.receive() { try receive(message) }
    guard state.withLock({ $0.outcome != nil }) else {
      throw SyncFailure(.endedEarly, "the receiver ended the session before it was over")
    }
  }

  private func receive(_ message: SyncMessage) throws {
    try step { state in
      if let outcome = Self.settled(message, state) { return [.finish(outcome)] }
      let actions = try state.machine.receive(message)
      switch message {
      case .hello(let hello):
        state.flight.credit = Int(clamping: hello.credit)
        state.peerEntries = Int(clamping: hello.entries)
        options.onCompare?(hello.index)
        if !options.isCompareOnly, actions.allSatisfy({ !$0.isFinish }) {
          options.course.begun()
          options.course.acknowledged(through: hello.lastOrdinal)
          options.course.connectionBegan()
          adaptation.courseChanged()
        }
        if state.machine.bringsUncompared { workInput.yield(.bring(from: state.machine.firstOrdinal)) }
      case .hint(let hint):
        if hint.credit > 0 { state.flight.credit = Int(clamping: hint.credit) }
        adaptation.receive(hint)
      case .ack(let ack):
        let (bytes, delay) = state.flight.acknowledged(through: ack.ordinal, now: adaptation.now)
        adaptation.acknowledged(bytes, delay: delay)
        options.course.acknowledged(through: ack.ordinal)
        options.course.gotThrough(bytes)
        options.meter.update(bytesInFlight: state.flight.bytesInFlight)
        options.meter.conflicts.raise(to: ack.conflicts)
      case .sealResult(let result):
        state.peerEntries = Int(clamping: result.entries)
        (state.withheld, state.wanted) = (0, 0)
        if !actions.contains(where: \.isFinish) { options.onCompare?(result.index) }
        options.meter.conflicts.raise(to: result.conflicts)
      default: break
      }
      return actions
    }
  }

  /// A round that found nothing but what is to be left alone ends the session, although roots differ: it
  /// has compared what the rounds before it did.
  private static func settled(_ message: SyncMessage, _ state: State) -> SyncOutcome? {
    guard case .sealResult(let result) = message, !result.isEqual, state.withheld > 0, state.wanted == 0
    else { return nil }
    let content = KeyspacePosition(
      root: result.root, entries: Int(clamping: result.entries), bytes: Int(clamping: result.bytes))
    return .sealed(
      SyncPosition(index: result.index, content: content), rounds: state.machine.round,
      conflicts: result.conflicts)
  }

  // MARK: The machine

  /// Steps the machine and hands out what it wants, both under the lock: what it says first is done first.
  private func step(_ body: (inout State) throws -> [SyncAction]) rethrows {
    let waiter = try state.withLock { state in
      for action in try body(&state) { perform(action, &state) }
      return state.waiter.take()
    }
    waiter?.resume()
  }

  private func perform(_ action: SyncAction, _ state: inout State) {
    switch action {
    case .send(let message): controlInput.yield(.send(message))
    case .readRecords(let request): controlInput.yield(.read(request))
    case .plan(let operations):
      options.meter.begin(round: state.machine.round)
      workInput.yield(.plan(operations, round: state.machine.round))
    case .seal: workInput.yield(.seal)
    case .finish(let outcome):
      state.outcome = outcome
      controlInput.finish()
      workInput.finish()
    }
  }

  /// Planned operations have left this side's queue.
  private func taken(_ count: Int, withheld: Int, wanted: Int) {
    step { state in
      state.withheld += withheld
      state.wanted += wanted
      return state.machine.operationsTaken(count)
    }
  }

  private func runControl() async throws {
    for await action in control {
      switch action {
      case .send(let message): try await transport.send(message)
      case .read(let request):
        let answer = answer
        let (records, isEnd) = try await pool.run { try answer(request) }
        step { $0.machine.recordsRead(request.id, records, isEnd: isEnd) }
      case .report:
        // A receiver that is done takes none; why it ended is told where messages come in.
        if let report = state.withLock({ $0.report.take() }) { try? await transport.send(.report(report)) }
      }
    }
    try Task.checkCancellation()
  }

  // MARK: Chunks out

  private func adapt() async throws {
    try await adaptation.run(transport.link) { report in
      step { state in
        guard let report else { return [] }
        if state.report == nil { controlInput.yield(.report) }
        state.report = report
        return []
      }
    }
  }

  private func sendBatches() async throws {
    var batch = await nextBatch()
    if batch == nil { return }
    var writer = ChunkWriter(
      firstOrdinal: state.withLock { $0.machine.firstOrdinal }, lastSequence: options.course.lastSequence)
    // Taken out: what the writer has is not kept a second time while its chunks wait for credit.
    while let present = batch.take() {
      switch present {
      case .operations(let operations, let taken):
        try writer.append(operations)
        options.meter.operations.add(operations.count)
        if taken > 0 { step { $0.machine.operationsTaken(taken) } }
        while let chunk = try nextChunk(&writer) {
          try await send(chunk, lastOrdinal: writer.lastOrdinalTaken)
        }
      case .seal:
        while let chunk = try nextChunk(&writer, ending: true) {
          try await send(chunk, lastOrdinal: writer.lastOrdinalTaken)
          if chunk.isLast { break }
        }
      }
      batch = await nextBatch()
    }
  }

  private func nextBatch() async -> SendBatch? {
    await adaptation.wait(for: .source) { await batches.take() }
  }

  private func nextChunk(_ writer: inout ChunkWriter, ending: Bool = false) throws -> Chunk? {
    let settings = adaptation.decision.settings
    let start = ContinuousClock.now
    let rtt = options.meter.report?.rtt ?? .zero
    guard
      let chunk = try writer.nextChunk(
        settings: settings, ending: ending, rttMilliseconds: UInt32(clamping: rtt.nanoseconds / 1_000_000))
    else { return nil }
    adaptation.encoded(chunk, as: writer.encoding, in: start.duration(to: .now))
    if let levels = adaptation.takeProbe() { probe(levels, writer.recentPlain(CodecProbe.sampleBytes)) }
    return chunk
  }

  /// Beside the session's own work. What the pool has no time for is not done.
  private func probe(_ levels: [Int32], _ sample: [UInt8]) {
    let adaptation = adaptation
    _ = pool.submit { adaptation.probed(levels.compactMap { CodecProbeResult(of: sample, level: $0) }) }
  }

  private func send(_ chunk: Chunk, lastOrdinal: Ordinal) async throws {
    let bytes = Int(chunk.header.plainLength)
    if !takeCredit(bytes, lastOrdinal) {
      try await adaptation.wait(for: .credit) { try await waitForCredit(bytes, lastOrdinal) }
    }
    options.meter.plainBytes.add(bytes)
    options.meter.payloadBytes.add(chunk.payload.count)
    options.course.sent(chunk.sequence)
    options.course.sends(chunk: bytes)
    try await adaptation.wait(for: .room) {
      try await adaptation.place.wait(toSend: chunk.payload.count + SessionLimits.chunkEnvelope)
      try await transport.send(.chunk(chunk))
    }
  }

  private func waitForCredit(_ bytes: Int, _ lastOrdinal: Ordinal) async throws {
    while !takeCredit(bytes, lastOrdinal) {
      await withCheckedContinuation { continuation in
        let limit = adaptation.decision.bytesInFlight
        let isFree = state.withLock { state in
          if state.isOver || state.flight.allows(bytes, limit: limit) { return true }
          state.waiter = continuation
          return false
        }
        if isFree { continuation.resume() }
      }
      if state.withLock({ $0.isOver }) { throw CancellationError() }
    }
  }

  private func takeCredit(_ bytes: Int, _ lastOrdinal: Ordinal) -> Bool {
    let (limit, now) = (adaptation.decision.bytesInFlight, adaptation.now)
    return state.withLock { state in
      guard state.flight.allows(bytes, limit: limit) else { return false }
      state.flight.sent(bytes, lastOrdinal: lastOrdinal, now: now)
      return true
    }
  }

  /// Lets everybody go who waits here.
  private func end() {
    controlInput.finish()
    workInput.finish()
    batches.finish()
    adaptation.place.leave()
    let waiter = state.withLock { state in
      state.isOver = true
      return state.waiter.take()
    }
    waiter?.resume()
  }
}

extension SyncAction {
  fileprivate var isFinish: Bool { if case .finish = self { true } else { false } }
}

extension ChunkWriter {
  /// Operations that were encoded elsewhere.
  fileprivate mutating func append(_ operations: EncodedOperations) throws {
    let bytes = operations.bytes.span
    var position = 0
    while let operation = try OperationLayout(parsing: bytes, at: position) {
      let key = bytes.extracting(operation.key)
      switch operation.kind {
      case .put:
        try append(put: key, expecting: operation.expectation, value: bytes.extracting(operation.value))
      case .delete: try append(deleting: key, expecting: operation.expectation)
      }
      position = operation.end
    }
  }
}
