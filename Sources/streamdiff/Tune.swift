import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Tune: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show or change how a running server's sessions adapt.",
    discussion: """
      Without arguments: every tunable as it holds. NAME=VALUE sets one. NAME= and --reset NAME undo what tune \
      has set, and what would hold without it holds again: DATA_DIR/tunables.conf, then serve's flags, then the \
      defaults; with --persist it leaves the file too. All of a command is done, or nothing. --reset all undoes \
      everything, without --peer for single peers too. Open sessions follow at once: where the \
      server sends by itself, where it receives by asking its peer. Where it sends, what is set here no receiver \
      overrules, and what is not it may wish for.

      What is nearer to a session takes precedence: serve's flags, then what is set for all, for the peer's \
      address, for its connection. What is tuned for a connection ends with it. On each of these tune takes precedence over DATA_DIR/tunables.conf. --persist writes \
      there, without other arguments all that was tuned; SIGHUP makes the server read it again.

      Tunables:
      \(Self.ranges)

      Examples:
        streamdiff tune
        streamdiff tune chunk-max=32KiB level-max=6 --persist
        streamdiff tune rate-max=50Mbit --peer 10.0.0.7
        streamdiff tune rate-max= --peer 10.0.0.7

      \(Exit.table)
      """)

  private static let ranges = Tunable.allCases.map { "  \($0.rawValue): \($0.values)" }.joined(
    separator: "\n")

  @OptionGroup var server: ServerOptions
  @Option(
    help: ArgumentHelp(
      "Only for this connection, or all of this IP address, as status shows them.",
      valueName: "address[:port]"))
  var peer: String?
  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "Undo what tune has set of it, with --persist in the file too. `all`: of all of them, and for single peers too. May be given again.",
      valueName: "name"))
  var reset: [String] = []
  @Flag(help: "Keep it across a restart of the server.") var persist = false
  @Argument(help: ArgumentHelp("What to set.", valueName: "name=value")) var changes: [String] = []

  func validate() throws {
    if let peer, TuningPeer(peer) == nil {
      throw ValidationError("--peer '\(peer)' is not \(TuningPeer.form)")
    }
    let (settings, reset) = try wanted()
    do {
      _ = try TuningChange(peer: nil, settings: settings, reset: reset)
    } catch {
      throw ValidationError(error.detail)
    }
  }

  private func wanted() throws(ValidationError) -> (settings: [Setting], reset: [String]) {
    var settings: [Setting] = []
    var reset = reset
    for change in changes {
      guard let equals = change.firstIndex(of: "=") else {
        throw ValidationError("'\(change)' is no NAME=VALUE")
      }
      let (name, value) = (String(change[..<equals]), String(change[change.index(after: equals)...]))
      if value.isEmpty { reset.append(name) } else { settings.append(Setting(name: name, value: value)) }
    }
    return (settings, reset)
  }

  func run() async throws {
    do {
      let (settings, reset) = try wanted()
      let client = try await server.connect()
      let changes = persist || !settings.isEmpty || !reset.isEmpty
      let tuning =
        changes
        ? try await client.tune(settings, reset: reset, peer: peer, isPersistent: persist)
        : try await client.tuning(peer: peer)
      await client.close()
      warn(of: settings, in: tuning)
      Output.print(server.json ? json(tuning).text : table(tuning, isChange: changes))
    } catch {
      throw Exit.because(of: error)
    }
  }

  /// What is set and comes to nothing as things are.
  private func warn(of settings: [Setting], in tuning: ServerTunables) {
    var holding = AdaptationSettings()
    for setting in tuning.settings { try? holding.set(setting.name, to: setting.value) }
    let idle = holding.idle(among: settings.compactMap { Tunable(rawValue: $0.name) })
    if let idle { Output.complain("\(idle)") }
  }

  // MARK: Output

  private func table(_ tuning: ServerTunables, isChange: Bool) -> String {
    let rows = tuning.settings.map { setting in
      [
        printable(setting.name.utf8), printable(setting.value.utf8),
        Tunable(rawValue: setting.name)?.values ?? "",
      ]
    }
    var lines = TextTable.lines([["NAME", peer.map { "FOR \($0)" } ?? "VALUE", "TAKES"]] + rows)
    for peer in tuning.peers {
      let settings = peer.settings.map { "\(printable($0.name.utf8))=\(printable($0.value.utf8))" }
      lines.append("for \(printable(peer.peer.utf8)): \(settings.joined(separator: " "))")
    }
    if isChange { lines.append("open sessions reached: \(tuning.sessions)") }
    return lines.joined(separator: "\n")
  }

  private func json(_ tuning: ServerTunables) -> JSON {
    .object([
      ("peer", peer.map { .string($0) } ?? .null), ("settings", Self.json(tuning.settings)),
      (
        "peers",
        .array(
          tuning.peers.map {
            .object([("peer", .string($0.peer)), ("settings", Self.json($0.settings))])
          })
      ),
      ("sessions", .number(tuning.sessions)),
    ])
  }

  private static func json(_ settings: [Setting]) -> JSON {
    .object(settings.map { ($0.name, .string($0.value)) })
  }
}
