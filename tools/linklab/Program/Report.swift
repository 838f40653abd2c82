import LinkModel

/// What a lab says of itself, as JSON.
struct Report {
  private let session: Session

  init(_ session: Session) { self.session = session }

  /// For whoever wants to use the lab.
  var ready: JSON {
    func host(_ host: Host) -> JSON {
      .object([("namespace", .text(host.namespace.name)), ("address", .text(host.address.text))])
    }
    return .object(
      [
        ("left", host(session.lab.left)), ("right", host(session.lab.right)),
        ("control", .text(session.lab.controlPath)),
      ] + circumstances + sides { Self.settings($0.link.settings, mtu: session.mtu) })
  }

  /// What the link does now.
  var settings: JSON { .object(sides { Self.settings($0.link.settings, mtu: session.mtu) }) }

  /// What it has done since the lab began or counters were reset.
  var json: JSON {
    let elapsed = Relay.now - session.relay.countsSince
    return .object(
      [("seconds", .decimal(Double(elapsed.nanoseconds / 1_000_000) / 1000))] + circumstances
        + [("sound", .bool(fault == nil))] + Relay.Side.allCases.map { ($0.name, counters($0)) })
  }

  /// One line for people where packets were lost in the lab itself, so that its figures do not count.
  var fault: String? {
    let faults = session.relay.directions.map { $0.ringDrops + $0.overflows + $0.refused }.reduce(0, +)
    return faults == 0 ? nil : "\(faults) packets were lost in the lab itself: ring_drops, overflows, refused"
  }

  /// One line for people.
  var summary: String {
    let lab = session.lab
    let inherited = lab.isCongestionInherited ? " (inherited)" : ""
    return "left \(lab.left.address.text), right \(lab.right.address.text), \(lab.congestion)\(inherited), "
      + "control \(lab.controlPath)"
  }

  private var circumstances: [(String, JSON)] {
    [
      ("mtu", .number(session.mtu)), ("scheduling", .text(session.isRealtime ? "fifo" : "other")),
      ("congestion", .text(session.lab.congestion)),
      ("congestion_inherited", .bool(session.lab.isCongestionInherited)),
    ]
  }

  private func sides(_ value: (Relay.Direction) -> JSON) -> [(String, JSON)] {
    Relay.Side.allCases.map { ($0.name, value(session.relay.directions[$0.rawValue])) }
  }

  private static func settings(_ settings: LinkSettings, mtu: Int) -> JSON {
    .object([
      ("delay_ms", .decimal(milliseconds(settings.delay))),
      ("jitter_ms", .decimal(milliseconds(settings.jitter))),
      ("rate_bits", settings.rate.map { .number(Int($0.bitsPerSecond)) } ?? .null),
      ("loss", .decimal(Double(settings.loss.parts) / Double(Share.whole))),
      ("queue_limit", .number(settings.queueBytes ?? settings.defaultQueueBytes(mtu: mtu))),
    ])
  }

  private func counters(_ side: Relay.Side) -> JSON {
    let counters = session.relay.counters(side)
    let direction = session.relay.directions[side.rawValue]
    return .object([
      ("packets_in", .number(counters.packetsIn)), ("bytes_in", .number(counters.bytesIn)),
      ("packets_out", .number(counters.packetsOut)), ("bytes_out", .number(counters.bytesOut)),
      ("lost", .number(counters.lost)), ("dropped", .number(counters.dropped)),
      ("cut", .number(counters.cut)),
      ("queue_bytes", .number(counters.queueBytes)), ("queue_bytes_most", .number(counters.queueBytesMost)),
      (
        "lateness_ms",
        .object([
          ("p50", .decimal(Self.milliseconds(counters.lateness.percentile(50)))),
          ("p99", .decimal(Self.milliseconds(counters.lateness.percentile(99)))),
          ("max", .decimal(Self.milliseconds(counters.lateness.longest))),
        ])
      ),
      ("ring_drops", .number(direction.ringDrops)), ("overflows", .number(direction.overflows)),
      ("refused", .number(direction.refused)),
    ])
  }

  private static func milliseconds(_ interval: Interval) -> Double {
    Double(interval.nanoseconds / 1000) / 1000
  }
}
