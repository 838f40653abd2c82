import ArgumentParser

@main
struct Linklab: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "linklab",
    abstract: "Two hosts on one machine and the link between them: delay, jitter, loss, rate, queue, cuts.",
    discussion: """
      The hosts are network namespaces, `left` and `right`, with one TUN interface each. linklab relays every \
      packet between them as the settings say, by direction: up is from left to right. Needs root.

        linklab run --rtt 40ms --rate 100mbit --loss 1% -- bash
        linklab set --rate 10mbit          (in there; elsewhere with --control)
        linklab stats
        linklab cut 500ms

      \(Exit.table)
      """,
    subcommands: [Run.self, Keep.self, Change.self, Cut.self, Stats.self, Guard.self])
}

/// How linklab ends where no COMMAND has its own code.
enum Exit {
  static let failed = ExitCode(1)
  static let cannotRunHere = ExitCode(77)

  /// For `--help`.
  static let table = """
    Exit codes: 0 done, 1 failed, 64 wrong usage, 77 cannot run here (no root, no /dev/net/tun, a kernel without \
    what was asked for); `run` ends with COMMAND's own, or 128 + the signal that ended it.
    """
}

/// What keeps linklab from going on: one line for people, and how it ends.
struct Failure: Error {
  let code: ExitCode
  let reason: String

  static func failed(_ reason: String) -> Failure { Failure(code: Exit.failed, reason: reason) }
  static func cannotRunHere(_ reason: String) -> Failure { Failure(code: Exit.cannotRunHere, reason: reason) }
}

/// Runs a command's body; a failure is said on stderr and ends it.
func saying<Value>(_ body: () throws -> Value) throws -> Value {
  do {
    return try body()
  } catch let failure as Failure {
    Text.complain(failure.reason)
    throw failure.code
  }
}
