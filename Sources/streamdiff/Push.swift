import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Push: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a keyspace equal to a directory or a file of NDJSON, deletions included.",
    discussion: """
      SOURCE is a directory, or a file with lines {"key":…,"value":…} (key_base64, value_base64 for \
      binary; of a key given twice the last wins). Only what differs is sent. What others change meanwhile \
      is not overwritten: it is compared again, three times at most, and listed when it still differs then.

      Deletions come last, when all of SOURCE that is needed has been read. A push stops before the first \
      one when it would delete over half of the files (of a plain keyspace: entries) there, over half of \
      all records and pieces, or anything at all for an empty SOURCE: 5. A SOURCE that cannot be read or \
      changes meanwhile deletes nothing: 1, with the name.

      --exclude leaves what a pattern matches as it is on both sides: it is neither read nor sent nor \
      deleted. A pattern without "/" is held against every name of a path, one with "/" against the whole \
      path from SOURCE on; what is beneath a matched directory is excluded too. "*" and "?" stand for \
      characters but "/", "**" for any, "**/" for any directories, [a-z] and [!a-z] for one of a set; a "/" \
      at the end matches directories alone, "\\" takes the meaning from what follows. In NDJSON the keys are \
      taken as paths.

      Examples:
        streamdiff push ./site
        streamdiff push users.ndjson --keyspace users
        streamdiff push ./site --dry-run
        streamdiff push ./site --exclude '*.log' --exclude /cache/

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Flag(help: "Leave what only the keyspace has.") var noDelete = false
  @Flag(help: "Delete even over half of what is there.") var deleteAnyway = false
  @Flag(help: "Overwrite what others change meanwhile.") var force = false
  @Flag(help: "Only find out what would be sent.") var dryRun = false
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("Leave what matches alone, on both sides. May be given again.", valueName: "glob"))
  var exclude: [String] = []
  @Option(help: ArgumentHelp("Write every decision and what it was made from, as NDJSON.", valueName: "file"))
  var trace: String?
  @OptionGroup(title: "Adaptation") var tunables: TunableOptions
  @Argument(help: "A directory, or a file of NDJSON.") var source: String

  func validate() throws {
    guard !(noDelete && deleteAnyway) else {
      throw ValidationError("--no-delete and --delete-anyway contradict each other")
    }
    if let trace, FilePlace.isWithin(trace, source) {
      throw ValidationError("--trace \(trace) lies in what is pushed, \(source): choose another place")
    }
    _ = try tunables.settings()
    do { _ = try Exclusions(exclude) } catch { throw ValidationError("--exclude: \(error)") }
  }

  func run() async throws {
    tunables.warnOfIdle()
    do {
      let clock = ContinuousClock()
      let start = clock.now
      let exclusions = try Exclusions(exclude)
      let local = try await LocalSource.scan(source, excluding: exclusions, isQuiet: server.json)
      let file = try trace.map { path throws(ClientFailure) in
        try TraceFile(path) { Output.complain($0) }
      }
      var options = try options(local, exclusions)
      options.trace = file?.trace
      let attempt = PushAttempt(local: local, server: server, options: options, isDryRun: dryRun)
      let outcome: Result<PushAttempt.Result, any Error>
      do { outcome = .success(try await attempt.run()) } catch { outcome = .failure(error) }
      await file?.close()
      var result = try outcome.get()
      result.summary.seconds = start.duration(to: clock.now).seconds
      report(result)
      if let refusal = result.refusal { throw refusal }
      if result.stillDiffers { throw Exit.failed }
    } catch {
      throw Exit.because(of: error)
    }
  }

  private func options(_ local: LocalSource, _ exclusions: Exclusions) throws -> SyncOptions {
    var options = SyncOptions(keyspace: keyspace.name, kind: local.kind, session: .random())
    options.isCompareOnly = dryRun
    options.deletions = noDelete ? .none : deleteAnyway ? .allowed : .guarded
    options.overwrites = force
    options.exclusions = exclusions
    options.tuning = SessionTuning(try tunables.settings())
    options.refusals = CongestionRefusals { control, reason in
      Output.complain("--congestion \(control) is refused by the system, which keeps its own: \(reason)")
    }
    return options
  }

  private func report(_ result: PushAttempt.Result) {
    if server.json { return Output.print(result.json.text) }
    let what = dryRun ? "would push" : "pushed"
    Output.print(result.summary.text("\(what) \(source) to \(keyspace.name)"))
    if result.deleted > 0 { Output.print("\(dryRun ? "would delete" : "deleted") \(result.deleted)") }
    guard result.stillDiffers else { return }
    Output.complain("others keep changing what is pushed; after three rounds these still differ:")
    for name in result.differing { Output.note("  \(printable(name))\n") }
  }
}
