import ArgumentParser
import LinkModel

/// What the link does: for both directions, then what is different for one of them.
struct LinkOptions: ParsableArguments {
  @Option(help: "Round trip, half of it each way: 40ms, 250us, 1.5s.", transform: Parse.time) var rtt:
    Interval?
  @Option(
    help: "Each way's delay varies evenly by this much, up and down; order is kept.", transform: Parse.time)
  var jitter: Interval?
  @Option(
    help: "Bits per second each way, IP headers included: 500kbit, 100mbit, 1gbit; or unlimited.",
    transform: Parse.rate)
  var rate: LinkChange.Limit<Rate>?
  @Option(help: "Share of packets lost at random: 1%, 0.05%.", transform: Parse.share) var loss: Share?
  @Option(
    help: """
      Bytes that wait for the rate before more are dropped: 300KB, 64KiB; or default: rate times round trip, and at \
      least 5 ms and 64 packets.
      """,
    transform: Parse.queue)
  var queue: LinkChange.Limit<Int>?
  @Option(
    help: ArgumentHelp(
      "Left to right alone: delay (one way), jitter, rate, loss, queue.", valueName: "NAME=VALUE,…"),
    transform: Parse.changes)
  var up: LinkChange?
  @Option(help: ArgumentHelp("Right to left alone.", valueName: "NAME=VALUE,…"), transform: Parse.changes)
  var down: LinkChange?

  /// For the one direction and the other.
  var changes: (up: LinkChange, down: LinkChange) {
    var both = LinkChange()
    both.delay = rtt?.half
    both.jitter = jitter
    both.rate = rate
    both.loss = loss
    both.queue = queue
    return (both.followed(by: up ?? LinkChange()), both.followed(by: down ?? LinkChange()))
  }
}

/// Values of flags. The parser names the flag, these say what it takes.
enum Parse {
  static let time = value("a time, such as 40ms") { Interval(text: $0) }
  static let share = value("a share, such as 0.5%") { Share(text: $0) }
  static let rate = value("a rate, such as 100mbit, or unlimited") { LinkChange.rate(text: $0) }
  static let queue = value("a size, such as 300KB, or default") { LinkChange.queue(text: $0) }

  @Sendable static func changes(_ text: String) throws -> LinkChange {
    do {
      return try LinkChange(text: text)
    } catch {
      throw ValidationError(error.reason)
    }
  }

  private static func value<Value>(
    _ kind: String, _ parse: @escaping @Sendable (String) -> Value?
  ) -> @Sendable (String) throws -> Value {
    { text in
      guard let value = parse(text) else { throw ValidationError("it takes \(kind)") }
      return value
    }
  }
}

/// What a lab is made of, for `run` and `keep`.
struct LabOptions: ParsableArguments {
  @OptionGroup var link: LinkOptions
  @Option(help: "Determines which packets are lost and how delays vary.") var seed: UInt64 = 1
  @Option(
    help: "TCP's congestion control in both hosts, as the kernel names it; otherwise what they inherit.")
  var congestion: String?
  @Option(help: "Bytes of the largest packet, 576 to 9000.") var mtu = 1500

  func validate() throws {
    guard (576...9000).contains(mtu) else { throw ValidationError("--mtu \(mtu) is outside of 576 to 9000") }
    if let congestion {
      let isName = congestion.utf8.allSatisfy {
        (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5f || $0 == 0x2d
      }
      guard isName, (1..<16).contains(congestion.utf8.count) else {
        throw ValidationError("--congestion '\(congestion)' is no name of a congestion control")
      }
    }
    let changes = link.changes
    for (side, change) in [("up", changes.up), ("down", changes.down)] {
      if let fault = Self.settings(change).fault(mtu: mtu) { throw ValidationError("--\(fault) (\(side))") }
    }
  }

  var settings: (up: LinkSettings, down: LinkSettings) {
    (Self.settings(link.changes.up), Self.settings(link.changes.down))
  }

  private static func settings(_ change: LinkChange) -> LinkSettings {
    var settings = LinkSettings()
    change.apply(to: &settings)
    return settings
  }
}
