import ArgumentParser

struct Keep: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make a lab and keep it until SIGTERM, SIGINT or the end of the process that started it.",
    discussion: """
      Prints one line of JSON when both hosts are there: for each its namespace and address, and the control socket.

        linklab keep --rtt 20ms --rate 300mbit --queue 200KB
        ip netns exec NAMESPACE COMMAND…

      What still runs in the hosts at the end is ended.

      \(Exit.table)
      """)

  @OptionGroup var lab: LabOptions

  func run() throws {
    try saying {
      let session = try Session(lab)
      Text.print(Report(session).ready.line)
      session.keep { if let fault = Report(session).fault { Text.complain(fault) } }
    }
  }
}
