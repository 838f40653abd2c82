import ArgumentParser

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a lab, run COMMAND in its left host, take the lab away.",
    discussion: """
      COMMAND finds LINKLAB_LEFT and LINKLAB_RIGHT (names for `ip netns exec`), LINKLAB_LEFT_ADDRESS, \
      LINKLAB_RIGHT_ADDRESS and LINKLAB_CONTROL in its environment. What still runs in the hosts when it ends is ended.

        linklab run --rtt 40ms --rate 100mbit -- sh -c 'ping -c 3 $LINKLAB_RIGHT_ADDRESS'

      \(Exit.table)
      """)

  @OptionGroup var lab: LabOptions
  @Flag(help: "Says nothing but what is wrong.") var quiet = false
  @Argument(parsing: .postTerminator, help: "After --: what to run, and its arguments.") var command:
    [String] = []

  func validate() throws {
    guard !command.isEmpty else { throw ValidationError("no COMMAND after --") }
  }

  func run() throws {
    let code = try saying {
      let session = try Session(lab)
      if !quiet { Text.complain(Report(session).summary) }
      return try session.run(command) { if let fault = Report(session).fault { Text.complain(fault) } }
    }
    throw ExitCode(code)
  }
}
