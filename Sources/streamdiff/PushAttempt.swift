import StreamDiffCore
import StreamDiffService

/// One push, or the comparison that says what a push would do.
struct PushAttempt {
  struct Result {
    var summary: TransferSummary
    /// Files and links, or lines, that the push deleted.
    var deleted: Int
    /// The server's log index at which each round compared, and the one at which the result holds.
    var comparedAt: [LogIndex]
    var index: LogIndex
    /// What others changed meanwhile and is not as SOURCE has it, at most `PlanLog.listed` names.
    var differing: [[UInt8]] = []
    var stillDiffers = false
    /// Of a dry run: why the push would stop before its first deletion.
    var refusal: ClientFailure?
  }

  let local: LocalSource
  let server: ServerOptions
  let options: SyncOptions
  let isDryRun: Bool

  func run() async throws -> Result {
    let log = PlanLog(local.kind)
    let meter = SyncMeter()
    var transfer = Transfer(server)
    var refusal: ClientFailure?
    var outcome: SyncOutcome
    var conflicts = 0
    do {
      let report = try await ProgressBar.show(
        .sending(meter, of: UInt64(local.tree.bytes), log), isOn: !server.json
      ) {
        let options = session(log, meter)
        return try await transfer.run(options.course) { try await local.push(to: $0, options: options) }
      }
      (outcome, conflicts) = (report.outcome, report.conflicts)
    } catch let failure as ClientFailure where isDryRun && failure.reason == .tooManyDeletions {
      refusal = failure
      outcome = try await compare(log, &transfer).outcome
    }
    var differing: [[UInt8]] = []
    var stillDiffers = false
    if case .differs = outcome {
      // What the last round brought may have arrived: only another look tells what still differs.
      let last = PlanLog(local.kind)
      outcome = try await compare(last, &transfer).outcome
      (differing, stillDiffers) = (last.keys, !last.isEmpty)
    }
    let summary = TransferSummary(
      mode: outcome.mode(changed: log.changed, isFull: log.isFull), entriesTotal: local.entries,
      entriesChanged: log.changed, conflicts: conflicts, bytesLogical: local.bytes,
      bytesSent: transfer.bytesSent, bytesReceived: transfer.bytesReceived, seconds: 0,
      root: outcome.position.content.root)
    return Result(
      summary: summary, deleted: log.deleted, comparedAt: log.comparedAt, index: outcome.position.index,
      differing: differing, stillDiffers: stillDiffers, refusal: refusal)
  }

  /// A session for one push or comparison, over as many connections as it takes.
  private func session(_ log: PlanLog, _ meter: SyncMeter) -> SyncOptions {
    var options = options
    options.session = .random()
    options.meter = meter
    options.onPlan = { log.add($1) }
    options.onCompare = { log.compares(at: $0) }
    return options
  }

  /// Finds out what differs, and guards nothing.
  private func compare(_ log: PlanLog, _ transfer: inout Transfer) async throws -> SyncReport {
    var options = session(log, SyncMeter())
    options.isCompareOnly = true
    if options.deletions == .guarded { options.deletions = .allowed }
    log.clear()
    return try await transfer.run { [options] in try await local.push(to: $0, options: options) }
  }
}

extension PushAttempt.Result {
  var json: JSON {
    var members = summary.members
    members += [
      ("entries_deleted", .number(deleted)), ("index", .number(index.rawValue)),
      ("compared_at", .array(comparedAt.map { .number($0.rawValue) })),
    ]
    if stillDiffers {
      members.append(("differing", .array(differing.map { .object(JSON.key($0)) })))
    }
    if let refusal { members.append(("refused", .string(refusal.detail))) }
    return .object(members)
  }
}
