import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a server is, holds and does.",
    discussion: """
      Examples:
        streamdiff status
        streamdiff status --json | jq .keyspaces
        streamdiff status --sessions --watch

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @Flag(
    help: """
      Only open sessions, a line each: round-trip times, loss, rates on the wire and before encoding, chunk, codec and \
      level, bytes in flight, congestion control, and why the last change was made.
      """)
  var sessions = false
  @Flag(help: "Every second, until interrupted or the server is gone (4). With --json an object a line.")
  var watch = false

  /// Between two looks.
  private static let interval = Duration.seconds(1)

  func run() async throws {
    do {
      let client = try await server.connect()
      guard watch else {
        let lines = try await lines(of: client)
        await client.close()
        return Output.print(server.json ? lines.joined() : lines.joined(separator: "\n"))
      }
      var next = ContinuousClock.now
      while true {
        let lines = try await lines(of: client)
        if server.json { Output.print(lines.joined()) } else { Screen.draw(lines) }
        next = max(next + Self.interval, .now)
        try await Task.sleep(until: next)
      }
    } catch {
      throw Exit.because(of: error)
    }
  }

  private func lines(of client: StreamDiffClient) async throws -> [String] {
    let status = try await client.status(roots: !sessions)
    switch (sessions, server.json) {
    case (true, true): return [JSON.object([("sessions", .array(status.sessions.map(Self.json)))]).text]
    case (true, false): return SessionTable.lines(status.sessions)
    case (false, true): return [Self.json(status).text]
    case (false, false): return Self.lines(status)
    }
  }

  private static func json(_ status: ServerStatus) -> JSON {
    .object([
      ("node_id", .number(status.nodeID)), ("role", .string(status.role)),
      ("leader", .number(status.leader)), ("term", .number(status.term)), ("commit", .number(status.commit)),
      ("applied", .number(status.applied)),
      ("syncing", .bool(status.isSyncing)), ("keyspaces", .array(status.keyspaces.map(json))),
      ("members", .array(status.members.map(json))), ("sessions", .array(status.sessions.map(json))),
      ("counters", .object(status.counters.map { ($0.name, .number($0.value)) })),
      ("version", .string(status.version)),
      ("read_only", status.readOnly.map { .string($0) } ?? .null),
    ])
  }

  private static func json(_ keyspace: ServerStatus.Keyspace) -> JSON {
    .object([
      ("name", .string(keyspace.name)), ("root", keyspace.root.map { .string($0.description) } ?? .null),
      ("entries", .number(keyspace.entries)), ("bytes", .number(keyspace.bytes)),
      ("kind", keyspace.kind.map { .string($0.name) } ?? .null), ("index", .number(keyspace.index)),
    ])
  }

  private static func json(_ member: ServerStatus.Member) -> JSON {
    .object([
      ("node_id", .number(member.nodeID)), ("address", .string(member.address)),
      ("match", .number(member.match)), ("lag", .number(member.lag)),
    ])
  }

  private static func json(_ session: ServerStatus.Session) -> JSON {
    .object(
      [
        ("peer", .string(session.peer)), ("keyspace", .string(session.keyspace)),
        ("sending", .bool(session.isSending)), ("bytes_sent", .number(session.bytesSent)),
        ("bytes_received", .number(session.bytesReceived)), ("in_flight", .number(session.inFlight)),
        ("number", .number(session.number)),
      ] + (session.report.map(members) ?? []))
  }

  private static func members(_ report: AdaptationReport) -> [(String, JSON)] {
    [
      ("rtt_ms", .decimal(report.rtt.seconds * 1000)), ("min_rtt_ms", .decimal(report.minRTT.seconds * 1000)),
      ("loss", .decimal(report.loss)), ("wire_rate", .number(report.wireRate)),
      ("plain_rate", .number(report.plainRate)), ("chunk", .number(Int(report.chunk))),
      ("codec", .string("\(report.encoding.codec)")), ("level", .number(Int(report.encoding.level))),
      ("in_flight_max", .number(report.bytesInFlight)), ("policy", .string(report.policy)),
      ("congestion", .string(report.congestion)), ("reason", .string(report.reason)),
    ]
  }

  private static func lines(_ status: ServerStatus) -> [String] {
    let leader = status.leader == 0 ? "unknown" : "\(status.leader)"
    var lines = [
      "node \(status.nodeID)   \(status.role), leader \(leader), term \(status.term), commit \(status.commit), "
        + "applied \(status.applied)\(status.isSyncing ? ", syncing" : "")",
      "version  \(status.version)",
    ]
    if let readOnly = status.readOnly { lines.append(readOnly) }
    for keyspace in status.keyspaces {
      lines.append(
        "keyspace \(keyspace.name)   \(keyspace.kind?.name ?? "new"), \(keyspace.entries) entries, "
          + "\(readable(bytes: keyspace.bytes)), root \(keyspace.root?.description ?? "unknown")")
    }
    for member in status.members {
      lines.append("member \(member.nodeID)   \(member.address), match \(member.match), lag \(member.lag)")
    }
    if let sending = sending(status) { lines.append(sending) }
    for session in status.sessions {
      lines.append(
        "session \(session.peer)   \(session.isSending ? "sends" : "receives") \(session.keyspace), "
          + "\(readable(bytes: session.bytesSent)) sent, \(readable(bytes: session.bytesReceived)) received")
    }
    return lines
  }

  /// What the node's sessions send together; `nil` of a server that does not count it.
  private static func sending(_ status: ServerStatus) -> String? {
    let counters = Dictionary(status.counters.map { ($0.name, $0.value) }) { $1 }
    guard let sessions = counters["send_sessions"] else { return nil }
    func count(_ name: String) -> UInt64 { counters["send_\(name)"] ?? 0 }
    var parts = ["\(readable(bytes: count("rate")))/s in \(sessions) session\(sessions == 1 ? "" : "s")"]
    if count("sessions_waiting") > 0 { parts.append("\(count("sessions_waiting")) waiting for their turn") }
    if count("rate_max") > 0 { parts.append("rate-max \(readable(bytes: count("rate_max")))/s each") }
    let slowdowns = count("slowdowns")
    if slowdowns > 0 {
      let times = slowdowns == 1 ? "once" : "\(slowdowns) times"
      let now = count("rate_governed") > 0 ? ", now to \(readable(bytes: count("rate_governed")))/s" : ""
      parts.append("slowed for commits \(times)\(now)")
    }
    return "sends    \(parts.joined(separator: ", "))"
  }
}

extension KeyspaceKind {
  var name: String {
    switch self {
    case .plain: "plain"
    case .directory: "directory"
    }
  }
}
