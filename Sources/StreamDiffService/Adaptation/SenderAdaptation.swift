import StreamDiffCore
import Synchronization

/// A sending session's controller at work: gathers what its tasks do, looks at the connection, asks the controller,
/// and has its decisions done.
final class SenderAdaptation: Sendable {
  /// Between two looks at a connection. (A look costs some microseconds.)
  static let interval = Duration.milliseconds(50)
  /// The same where nothing was sent at the last looks: a session that begins, or waits for an answer, has no rest yet.
  static let idleInterval = Duration.milliseconds(500)
  static let looksUntilIdle = 60

  private struct State {
    var controller: TransferController
    /// Of the interval that is not over.
    var tally = Observation()
    /// What the kernel did not take, and why: told once for each wish.
    var refusal: (control: CongestionControl, reason: String)?
    var reports = ReportSchedule()
    var hints = HintGate()
    /// What of them this side does not do.
    var unmet: [String] = []
    var probe: [Int32]?
    /// The last round trip that an observation told of.
    var roundTrip: UInt64 = 0
    var waiting: (kind: Wait, since: ContinuousClock.Instant)?

    mutating func countWait() {
      guard let (kind, since) = waiting else { return }
      let now = ContinuousClock.now
      switch kind {
      case .room: tally.sendWait += since.duration(to: now)
      case .credit: tally.creditWait += since.duration(to: now)
      case .source: tally.sourceWait += since.duration(to: now)
      }
      waiting = (kind, now)
    }
  }

  private let tuning: SessionTuning
  private let course: SessionCourse
  private let meter: SyncMeter
  private let trace: AdaptationTrace?
  private let refusals: CongestionRefusals?
  /// Among the sessions that share what is sent.
  let place: SendGovernor.Place
  private let start = ContinuousClock.now
  private let state: Mutex<State>

  init(_ options: SyncOptions) {
    (tuning, course, meter, trace) = (options.tuning, options.course, options.meter, options.trace)
    refusals = options.refusals
    let settings = tuning.settings
    place = options.governor.join(rateMax: settings.rateMax)
    state = Mutex(State(controller: TransferController(settings)))
    trace?.begin(settings)
    meter.update(report: AdaptationReport(of: state.withLock { $0.controller }))
  }

  /// Since the session began.
  var now: Duration { start.duration(to: .now) }

  // MARK: What the tasks tell

  /// How the next chunk is made, and how much may be in flight.
  var decision: Decision { state.withLock { $0.controller.decision } }

  func encoded(_ chunk: Chunk, as encoding: ChunkEncoding, in time: Duration) {
    state.withLock { state in
      state.tally.encoding = encoding
      state.tally.chunks += 1
      state.tally.plainBytes += Int(chunk.header.plainLength)
      state.tally.payloadBytes += chunk.payload.count
      state.tally.encodeTime += time
    }
  }

  /// What the sending task waits for.
  enum Wait { case room, credit, source }

  /// What waits when an interval ends counts in it.
  func wait<Value>(for wait: Wait, _ body: () async throws -> Value) async rethrows -> Value {
    state.withLock { $0.waiting = (wait, .now) }
    defer {
      state.withLock { state in
        state.countWait()
        state.waiting = nil
      }
    }
    return try await body()
  }

  func acknowledged(_ bytes: Int, delay: Duration?) {
    state.withLock { state in
      state.tally.acknowledgedBytes += bytes
      guard let delay else { return }
      state.tally.acknowledgementDelay = min(delay, state.tally.acknowledgementDelay ?? delay)
    }
  }

  /// Levels to try on a sample, once.
  func takeProbe() -> [Int32]? { state.withLock { $0.probe.take() } }

  func probed(_ results: [CodecProbeResult]) { state.withLock { $0.tally.probes += results } }

  func receive(_ hint: AdaptationHint) {
    state.withLock { state in
      guard let hint = state.hints.receive(hint) else { return }
      follow(hint, &state)
      adopt(&state)
    }
  }

  private func follow(_ hint: AdaptationHint, _ state: inout State) {
    state.controller.receive(hint)
    // In the order in which the controller has them.
    trace?.write(hint, at: now)
  }

  /// The course of the session has a limit of its own now.
  func courseChanged() { state.withLock { adopt(&$0) } }

  /// Has what the operator, the receiver and the course say hold: not only when the next look comes, for the first byte.
  private func adopt(_ state: inout State) {
    let adoption = tuning.adopting(state.hints.hint.settings, refused: state.refusal?.control)
    let wanted = adoption.settings.limited(toChunks: course.chunkLimit)
    state.unmet = adoption.unmet
    guard wanted != state.controller.settings else { return }
    if wanted.congestion != state.controller.settings.congestion { state.refusal = nil }
    state.controller.change(to: wanted)
    place.change(rateMax: wanted.rateMax)
    trace?.write(wanted, at: now)
  }

  // MARK: Looking and deciding

  /// Until cancelled.
  /// - Parameter decided: lets those go who waited for an earlier decision, and has a report sent.
  func run(
    _ link: ConnectionLink?, decided: @Sendable (AdaptationReport?) -> Void
  ) async throws {
    // At once too, before anything stands before a PING: how far the peer is tells how to begin.
    var (idleLooks, pause) = (0, Duration.zero)
    while true {
      try await Task.sleep(for: pause)
      let isSending = state.withLock { $0.tally.chunks > 0 }
      let seen = await link?.look(measuring: isSending || pause == .zero)
      // Waiting for credit or room is not idle.
      let isIdle = state.withLock { $0.tally.chunks == 0 && $0.waiting?.kind == .source }
      idleLooks = isIdle ? idleLooks + 1 : 0
      pause = idleLooks > Self.looksUntilIdle ? Self.idleInterval : Self.interval
      let (decision, message) = look(seen)
      if let congestion = decision.congestion, let link { await use(congestion, on: link) }
      decided(message)
    }
  }

  private func look(_ seen: ConnectionLink.Look?) -> (Decision, AdaptationReport?) {
    state.withLock { state in
      if let hint = state.hints.look() { follow(hint, &state) }
      adopt(&state)
      state.countWait()
      var observation = exchange(&state.tally, with: Observation())
      observation.time = now
      observation.link = seen?.kernel
      if let roundTrip = seen?.roundTrip, roundTrip.number != state.roundTrip {
        state.roundTrip = roundTrip.number
        observation.pingRTT = roundTrip.time
        observation.pingQueue = roundTrip.queued
      }
      observation.bytesInFlight = meter.bytesInFlight
      state.tally.encoding = observation.encoding
      let decision = state.controller.receive(observation)
      if !decision.probe.isEmpty { state.probe = decision.probe }
      trace?.write(observation, decision)
      return (decision, report(observation, &state))
    }
  }

  /// - Returns: what is to be reported now.
  private func report(_ observation: Observation, _ state: inout State) -> AdaptationReport? {
    let held = place.takeHold().map { $0 == .rateMax ? "at rate-max" : "governed" }
    let limit = course.chunkLimit.map {
      "connections ended before chunks over \(ByteSize(UInt64($0))) got through"
    }
    let report = AdaptationReport(
      of: state.controller, notes: [held, state.refusal?.reason, limit].compactMap(\.self), unmet: state.unmet
    )
    meter.update(report: report)
    return state.reports.takes(report, after: observation) ? report : nil
  }

  private func use(_ congestion: CongestionControl, on link: ConnectionLink) async {
    guard state.withLock({ $0.refusal?.control }) != congestion else { return }
    let refusal = await link.use(congestion)
    state.withLock { state in
      state.refusal = refusal.map { (congestion, "\(congestion.rawValue) is not to be had: \($0)") }
    }
    // What the controller or the peer wanted is told in the reports alone.
    if let refusal, case .bySystem = refusal, tuning.settings.congestion.rawValue == congestion.rawValue {
      refusals?.tell(congestion, "\(refusal)")
    }
  }
}
