import ArgumentParser
import CLinklab
import Glibc
import LinkModel

/// A running lab, as seen from another process.
struct ControlOptions: ParsableArguments {
  @Option(help: "The lab's control socket; otherwise LINKLAB_CONTROL, which `run` sets.") var control: String?

  /// - Returns: the lab's answer, a line of JSON. A refusal is a failure.
  func ask(_ request: String) throws -> String {
    guard let path = control ?? getenv("LINKLAB_CONTROL").map({ String(cString: $0) }) else {
      throw ValidationError("--control is missing, and LINKLAB_CONTROL is not set")
    }
    return try saying {
      let peer = linklab_connect(path)
      guard peer >= 0 else { throw Failure.failed("--control \(path): \(Text.lastError)") }
      defer { close(peer) }
      Text.write(request + "\n", to: peer)
      var answer: [UInt8] = []
      var bytes = [UInt8](repeating: 0, count: 4096)
      while case let count = read(peer, &bytes, bytes.count), count > 0 { answer += bytes[..<count] }
      guard answer.last == 0x0a else { throw Failure.failed("--control \(path): no answer") }
      let line = String(decoding: answer.dropLast(), as: UTF8.self)
      guard !line.hasPrefix("{\"error\":") else {
        throw Failure.failed("refused: \(line.dropFirst(10).dropLast(2))")
      }
      return line
    }
  }
}

struct Change: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract: "Change a running lab's link; what is not named stays.",
    discussion: """
      What flies keeps its due time, what waits is sent at the new rate. Prints the settings that hold now.

        linklab set --rate 10mbit --up loss=2% --control /run/linklab/…
      """)

  @OptionGroup var link: LinkOptions
  @OptionGroup var control: ControlOptions

  func run() throws {
    let changes = [("up", link.changes.up.text), ("down", link.changes.down.text)].filter { !$0.1.isEmpty }
    guard !changes.isEmpty else {
      throw ValidationError("nothing to set: give --rtt, --rate or another of them")
    }
    Text.print(try control.ask("set " + changes.map { "\($0.0) \($0.1)" }.joined(separator: " ")))
  }
}

struct Cut: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lose everything that arrives or is due for a while.",
    discussion: """
        linklab cut 500ms
        linklab cut 2s --only up
        linklab cut 0s               (ends a cut)
      """)

  enum Side: String, ExpressibleByArgument, CaseIterable { case up, down }

  @Argument(help: "How long: 500ms, 2s.", transform: Parse.time) var length: Interval
  @Option(help: "One direction.") var only: Side?
  @OptionGroup var control: ControlOptions

  func run() throws {
    let sides = only.map { [$0] } ?? Side.allCases
    _ = try control.ask("cut " + sides.map { "\($0.rawValue) \(length.text)" }.joined(separator: " "))
  }
}

struct Stats: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print what a running lab has done, as one line of JSON.",
    discussion: """
      For each direction: packets and bytes in and out; lost at random, dropped by the queue, gone in cuts; bytes in \
      the queue now and at most; how late packets left, against when they were due; and what must be zero for figures \
      to count: ring_drops (the relay was too slow for the TUN), overflows (more packets on their way than there is \
      room for), refused (the host did not take it).
      """)

  @Flag(help: "Counters begin anew afterwards.") var reset = false
  @Flag(help: "Exits with 1 where ring_drops, overflows or refused are not zero.") var sound = false
  @OptionGroup var control: ControlOptions

  func run() throws {
    let line = try control.ask(reset ? "stats reset" : "stats")
    Text.print(line)
    guard !sound || !line.contains("\"sound\":false") else { throw Exit.failed }
  }
}
