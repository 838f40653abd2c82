import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Push: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a keyspace equal to a directory or a file of NDJSON, deletions included.",
    discussion: """
      SOURCE is a directory, or a file with lines {"key":…,"value":…} (key_base64, value_base64 for \
      binary; of a key given twice the last wins). Only what differs is sent. What others change meanwhile \
      is not overwritten: it is compared again, three times at most. A push that would delete over half of \
      what is there stops before the first deletion.

      Examples:
        streamdiff push ./site
        streamdiff push users.ndjson --keyspace users
        streamdiff push ./site --dry-run

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Flag(help: "Leave what only the keyspace has.") var noDelete = false
  @Flag(help: "Delete even over half of what is there.") var deleteAnyway = false
  @Flag(help: "Overwrite what others change meanwhile.") var force = false
  @Flag(help: "Only find out what would be sent.") var dryRun = false
  @Argument(help: "A directory, or a file of NDJSON.") var source: String

  func validate() throws {
    guard !(noDelete && deleteAnyway) else {
      throw ValidationError("--no-delete and --delete-anyway contradict each other")
    }
  }

  func run() async throws {
    do {
      let clock = ContinuousClock()
      let start = clock.now
      let local = try await LocalSource.scan(source, isQuiet: server.json)
      let log = PlanLog(local.kind)
      let meter = SyncMeter()
      var transfer = Transfer(server)
      let report = try await ProgressBar.show(
        .sending(meter, of: UInt64(local.tree.bytes), log), isOn: !server.json
      ) {
        try await transfer.run { try await local.push(to: $0, options: options(local, log, meter)) }
      }
      let mode = report.outcome.mode(changed: log.changed, isFull: log.isFull)
      let summary = TransferSummary(
        mode: mode, entriesTotal: local.entries,
        entriesChanged: log.changed, conflicts: report.conflicts, bytesLogical: local.bytes,
        bytesSent: transfer.bytesSent, bytesReceived: transfer.bytesReceived,
        seconds: start.duration(to: clock.now).seconds, root: report.outcome.position.content.root)
      let what = dryRun ? "would push" : "pushed"
      Output.print(server.json ? summary.json.text : summary.text("\(what) \(source) to \(keyspace.name)"))
      if case .differs = report.outcome {
        Output.complain("others keep changing what is pushed; after three rounds these still differ:")
        for name in log.lastRound { Output.note("  \(printable(name))\n") }
        throw Exit.failed
      }
    } catch {
      throw Exit.because(of: error)
    }
  }

  private func options(_ local: LocalSource, _ log: PlanLog, _ meter: SyncMeter) -> SyncOptions {
    // Each attempt is a session of its own: it compares again and numbers its operations from 1.
    var options = SyncOptions(keyspace: keyspace.name, kind: local.kind, session: .random())
    options.isCompareOnly = dryRun
    options.deletions = noDelete ? .none : deleteAnyway ? .allowed : .guarded
    options.overwrites = force
    options.meter = meter
    options.onPlan = { log.add(round: $0, $1) }
    return options
  }
}
