import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Read a data directory that nobody serves, and name everything in it that is damaged; or replay a trace.",
    discussion: """
      Reads every byte of the log and of the state and changes none: each sector, record and command of \
      the log; each block of the state; every value against its digest, and the Merkle trees. Each line \
      names a file and offset, or a key. What a killed process leaves behind is a note, not damage.

      --trace puts a trace's inputs through the controller again: each decision must be the one that was \
      written, to the bit; 3 names the first line that is not, with --json as `line` and `reason`.

      Examples:
        streamdiff check --data-dir /var/lib/streamdiff
        streamdiff check --data-dir ./data --json | jq .damages
        streamdiff check --trace push.ndjson

      Exit codes: 0 sound, 1 cannot be read, 3 damaged or decided otherwise, 5 refused (in use, or of a newer format), 64 wrong usage.
      """)

  @Option(help: ArgumentHelp("The directory that `serve` was given.", valueName: "dir"))
  var dataDir: String?

  @Option(help: ArgumentHelp("What `push --trace` or `serve --trace` wrote.", valueName: "file"))
  var trace: String?

  @Flag(name: .long, help: "Print one JSON object.")
  var json = false

  func validate() throws {
    guard (dataDir == nil) != (trace == nil) else {
      throw ValidationError("--data-dir or --trace, one of them")
    }
    guard dataDir?.isEmpty != true else { throw ValidationError("--data-dir is empty") }
  }

  func run() async throws {
    do {
      if let trace { try await replay(trace) }
      if let dataDir { try await read(dataDir) }
    } catch {
      throw Exit.because(of: error)
    }
  }

  private func replay(_ trace: String) async throws {
    let check = try await TraceCheck.run(trace)
    let (sessions, decisions) = (check.replay.sessions, check.replay.decisions)
    if json {
      let fault: [(String, JSON)] =
        check.fault.map { [("line", .number($0.line)), ("reason", .string($0.reason))] } ?? []
      Output.print(
        JSON.object(
          [
            ("sound", .bool(check.fault == nil)), ("sessions", .number(sessions)),
            ("decisions", .number(decisions)),
          ] + fault
        ).text)
    }
    if let fault = check.fault {
      Output.complain("\(trace):\(fault.line): \(fault.reason)")
      throw Exit.verification
    }
    guard !json else { return }
    Output.print(
      "\(decisions) decisions of \(sessions == 1 ? "1 session" : "\(sessions) sessions"), each as it was written"
    )
  }

  private func read(_ dataDir: String) async throws {
    let meter = DirectoryCheck.Meter()
    let report = try await ProgressBar.show(.checking(meter), isOn: !json) {
      try await DirectoryCheck.run(dataDir, meter: meter)
    }
    Output.print(json ? Self.json(report).text : Self.table(report))
    guard report.isSound else {
      Output.complain("\(dataDir) is damaged, in \(report.damageCount) places that are named")
      throw Exit.verification
    }
  }

  // MARK: Output

  private static func table(_ report: CheckReport) -> String {
    var lines = report.damages.map { "damage   \(describe($0))" }
    if report.damageCount > report.damages.count {
      lines.append("damage   … and \(report.damageCount - report.damages.count) more")
    }
    lines += report.notes.map { "note     \(describe($0))" }
    let log = report.log
    let entries = log.indices.map { "entries \($0.lowerBound) to \($0.upperBound)" } ?? "no entries"
    lines.append("log      \(log.segments) segments, \(entries), term \(log.term), commit \(log.commit)")
    if let state = report.state {
      lines.append(
        "state    applied \(state.applied), \(state.files) files of \(readable(bytes: state.fileBytes))")
      for keyspace in state.keyspaces {
        let content = keyspace.position.map {
          "\($0.entries) entries, \(readable(bytes: $0.bytes)), root \($0.root)"
        }
        lines.append(
          "keyspace \(keyspace.record.name)   \(keyspace.record.kind.name), "
            + "\(content ?? "not all of it can be read")")
      }
    } else {
      lines.append("state    cannot be opened")
    }
    if report.isSound { lines.append("sound") }
    return lines.joined(separator: "\n")
  }

  private static func describe(_ finding: CheckReport.Finding) -> String {
    var text = finding.path ?? ""
    if let offset = finding.offset { text += " at offset \(offset)" }
    if let keyspace = finding.keyspace { text += " keyspace \(keyspace)" }
    if let key = finding.key { text += " key \"\(printable(key))\" (\(hex(key)))" }
    return "\(text): \(finding.detail)"
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  private static func json(_ report: CheckReport) -> JSON {
    let log = report.log
    return .object([
      ("sound", .bool(report.isSound)),
      ("damage_count", .number(report.damageCount)), ("damages", .array(report.damages.map(json))),
      ("note_count", .number(report.noteCount)), ("notes", .array(report.notes.map(json))),
      (
        "log",
        .object([
          ("segments", .number(log.segments)), ("entries", .number(log.entries)),
          ("first", log.indices.map { .number($0.lowerBound) } ?? .null),
          ("last", log.indices.map { .number($0.upperBound) } ?? .null),
          ("term", .number(log.term)), ("commit", .number(log.commit)),
        ])
      ),
      ("state", report.state.map(json) ?? .null),
    ])
  }

  private static func json(_ finding: CheckReport.Finding) -> JSON {
    .object([
      ("path", finding.path.map { .string($0) } ?? .null),
      ("offset", finding.offset.map { .number($0) } ?? .null),
      ("keyspace", finding.keyspace.map { .string($0) } ?? .null),
      ("key", finding.key.map { .string(printable($0)) } ?? .null),
      ("key_hex", finding.key.map { .string(hex($0)) } ?? .null), ("detail", .string(finding.detail)),
    ])
  }

  private static func json(_ state: CheckReport.State) -> JSON {
    .object([
      ("applied", .number(state.applied)), ("files", .number(state.files)),
      ("file_bytes", .number(state.fileBytes)),
      (
        "keyspaces",
        .array(
          state.keyspaces.map { keyspace in
            .object([
              ("name", .string(keyspace.record.name.description)),
              ("kind", .string(keyspace.record.kind.name)),
              ("root", keyspace.position.map { .string($0.root.description) } ?? .null),
              ("entries", keyspace.position.map { .number($0.entries) } ?? .null),
              ("bytes", keyspace.position.map { .number($0.bytes) } ?? .null),
            ])
          })
      ),
    ])
  }
}
