import ArgumentParser
import Glibc
import StreamDiffCore
import StreamDiffService

struct Pull: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a directory or a file of NDJSON equal to a keyspace, deletions included.",
    discussion: """
      What DEST already holds is compared, and only what differs is fetched. Each file is either its old \
      self or its new one, whatever happens; a pull that broke off is simply started again. A DEST that \
      does not exist becomes what the keyspace is: a directory, or a file of NDJSON in key order. After a \
      kill the next pull finds again what there was of unfinished files. Where DEST is a link to a file, \
      that file is written.

      The tunables are wishes: the server sends. Its limits hold beside them, and what its operator has set holds \
      in place of them; it says what it does not do.

      Examples:
        streamdiff pull ./copy --keyspace site
        streamdiff pull users.ndjson --keyspace users

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Option(help: .hidden) var trace: String?
  @OptionGroup(title: "Adaptation: what the server is asked for") var tunables: TunableOptions
  @Argument(help: "A directory, or a file of NDJSON.") var dest: String

  func validate() throws {
    guard trace == nil else {
      throw ValidationError(
        "--trace: in a pull the server sends and decides; its `serve --trace DIR` writes that")
    }
    _ = try tunables.wishes()
  }

  func run() async throws {
    tunables.warnOfIdle(asWishes: true)
    do {
      let clock = ContinuousClock()
      let start = clock.now
      var transfer = Transfer(server)
      let kind = try await transfer.run { try await self.kind(from: $0) }
      let sink = try await LocalSink.open(dest, kind, isQuiet: server.json)
      var summary = try await Interruption.guarding {
        await sink.close()
      } during: {
        try await fetch(into: sink, &transfer)
      }
      summary.seconds = start.duration(to: clock.now).seconds
      Output.print(server.json ? summary.json.text : summary.text("pulled \(keyspace.name) to \(dest)"))
    } catch {
      throw Exit.because(of: error)
    }
  }

  /// What the keyspace is, which DEST must be too.
  private func kind(from client: StreamDiffClient) async throws -> KeyspaceKind {
    let status = try await client.status(roots: false)
    guard let kind = status.keyspaces.first(where: { $0.name == keyspace.name.description })?.kind else {
      throw ClientFailure(.failed, "there is no keyspace \(keyspace.name)")
    }
    guard access(dest, F_OK) == 0 else { return kind }
    guard try LocalSource.kind(of: dest) == kind else {
      let wanted = kind == .directory ? "a directory" : "a file of NDJSON"
      throw ClientFailure(
        .refused, "\(keyspace.name) is a \(kind.name) keyspace: DEST must be \(wanted), which \(dest) is not")
    }
    return kind
  }

  /// The server's limits hold.
  private func warn(of meter: SyncMeter) {
    guard let unmet = meter.report?.unmet, !unmet.isEmpty else { return }
    Output.complain("the server does not do all that it was asked for: \(printable(unmet.utf8))")
  }

  private func fetch(into sink: LocalSink, _ transfer: inout Transfer) async throws -> TransferSummary {
    do {
      let meter = SyncMeter()
      defer { warn(of: meter) }
      let wasEmpty = try await sink.isEmpty
      let report = try await ProgressBar.show(.receiving(meter), isOn: !server.json) {
        var options = SyncOptions(keyspace: keyspace.name, kind: sink.kind, session: .random())
        options.meter = meter
        options.tuning = SessionTuning(wishes: tunables.given)
        let wanted = options
        return try await transfer.run(options.course) { try await sink.pull(from: $0, options: wanted) }
      }
      let counts = try await sink.complete()
      await sink.close()
      let mode = report.outcome.mode(changed: counts.changed, isFull: wasEmpty)
      let summary = TransferSummary(
        mode: mode, entriesTotal: counts.entries,
        entriesChanged: counts.changed, conflicts: report.conflicts, bytesLogical: counts.bytes,
        bytesSent: transfer.bytesSent, bytesReceived: transfer.bytesReceived, seconds: 0,
        root: report.outcome.position.content.root)
      if case .differs = report.outcome {
        throw ClientFailure(.verification, "\(dest) differs from \(keyspace.name) after three rounds")
      }
      return summary
    } catch {
      // Another pull goes on with what there is of a file: when there is a server again, or room on the disk.
      let kind = ClientFailure(error).kind
      await sink.close(keepingUnfinished: kind == .unreachable || kind == .failed)
      throw error
    }
  }
}

/// What DEST is.
private enum LocalSink {
  case directory(DirectorySink)
  case entries(NDJSONSink)

  static func open(_ path: String, _ kind: KeyspaceKind, isQuiet: Bool) async throws -> LocalSink {
    let meter = ScanMeter()
    return try await ProgressBar.show(.scan(meter), isOn: !isQuiet) {
      switch kind {
      case .plain: return .entries(try await NDJSONSink.open(path, meter: meter))
      case .directory:
        let sink = try await DirectorySink.open(path, meter: meter)
        for name in sink.skipped {
          Output.complain(
            "\(name) is no file, directory or link: left alone where the keyspace has nothing of that name")
        }
        return .directory(sink)
      }
    }
  }

  var kind: KeyspaceKind {
    switch self {
    case .directory: .directory
    case .entries: .plain
    }
  }

  var isEmpty: Bool {
    get async throws {
      switch self {
      case .directory(let sink): try await sink.content().tree.count == 0
      case .entries(let sink): try await sink.content().tree.count == 0
      }
    }
  }

  func pull(from client: StreamDiffClient, options: SyncOptions) async throws -> SyncReport {
    switch self {
    case .directory(let sink): try await client.pull(into: sink, options: options)
    case .entries(let sink): try await client.pull(into: sink, options: options)
    }
  }

  /// Everything is in place.
  ///
  /// - Returns: files and links, or lines: written or removed, and there; bytes in all.
  func complete() async throws -> (changed: Int, entries: Int, bytes: UInt64) {
    switch self {
    case .directory(let sink):
      let strays = try await sink.strays
      if strays > 0 {
        Output.complain(
          "pieces that belong to no file there: \(strays); a push is under way or ended early, and the next that ends "
            + "well removes them")
      }
      let summary = try await sink.summary()
      return (summary.changed, summary.files, summary.fileBytes)
    case .entries(let sink):
      try await sink.publish()
      let summary = sink.summary
      return (summary.changed, summary.entries, UInt64(summary.bytes))
    }
  }

  /// - Parameter keepingUnfinished: of a directory, for the next pull.
  func close(keepingUnfinished: Bool = false) async {
    switch self {
    case .directory(let sink): await sink.close(keepingUnfinished: keepingUnfinished)
    case .entries(let sink): sink.abandon()
    }
  }
}
