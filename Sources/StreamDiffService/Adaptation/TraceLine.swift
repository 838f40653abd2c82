public import StreamDiffCore

/// One line of a trace: a JSON object with `kind` and `time_ns` since the session began. Times are whole nanoseconds
/// and all numbers whole, so that what is read is what was written.
///
///     settings  the tunables by their names, as text; at time 0 a session begins
///     hint      the receiver's hint
///     decision  an observation, and what the controller made of it
///
/// What the kernel did not tell is left out.
public enum TraceLine: Hashable, Sendable {
  case settings(AdaptationSettings, Duration)
  case hint(AdaptationHint, Duration)
  case decision(Observation, Decision)

  public var text: String {
    var object = ObjectText()
    switch self {
    case .settings(let settings, let time):
      object.add("kind", "settings")
      object.add("time_ns", time)
      for tunable in Tunable.allCases { object.add(tunable.rawValue, settings.text(of: tunable)) }
    case .hint(let hint, let time):
      object.add("kind", "hint")
      object.add("time_ns", time)
      object.add(hint)
    case .decision(let observation, let decision):
      object.add("kind", "decision")
      object.add(observation)
      object.add(decision)
    }
    return object.text
  }
}

/// A flat JSON object as it is written.
private struct ObjectText {
  private var members: [String] = []

  var text: String { "{\(members.joined(separator: ","))}" }

  mutating func add(_ name: String, _ text: String) {
    members.append("\(JSONText.string(name)):\(JSONText.string(text))")
  }

  mutating func add(_ name: String, _ number: some BinaryInteger) { members.append("\"\(name)\":\(number)") }

  mutating func add(_ name: String, _ isTrue: Bool) { members.append("\"\(name)\":\(isTrue)") }

  mutating func add(_ name: String, _ time: Duration) { add(name, time.nanoseconds) }

  mutating func add(_ hint: AdaptationHint) {
    add("decode_bytes_per_second", hint.decodeBytesPerSecond)
    add("apply_bytes_per_second", hint.applyBytesPerSecond)
    add("credit", hint.credit)
    add("chunk_min", hint.chunkMinimum)
    add("chunk_max", hint.chunkMaximum)
    guard !hint.settings.isEmpty else { return }
    let settings = hint.settings.map { "[\(JSONText.string($0.name)),\(JSONText.string($0.value))]" }
    members.append("\"settings\":[\(settings.joined(separator: ","))]")
  }

  mutating func add(_ observation: Observation) {
    add("time_ns", observation.time)
    if let link = observation.link { add(link) }
    if let ping = observation.pingRTT {
      add("ping_ns", ping)
      add("ping_queue_bytes", observation.pingQueue)
    }
    add("used_codec", "\(observation.encoding.codec)")
    add("used_level", observation.encoding.level)
    add("chunks", observation.chunks)
    add("plain_bytes", observation.plainBytes)
    add("payload_bytes", observation.payloadBytes)
    add("encode_ns", observation.encodeTime)
    add("send_wait_ns", observation.sendWait)
    add("credit_wait_ns", observation.creditWait)
    add("source_wait_ns", observation.sourceWait)
    add("acknowledged_bytes", observation.acknowledgedBytes)
    if let delay = observation.acknowledgementDelay { add("acknowledgement_ns", delay) }
    add("bytes_in_flight", observation.bytesInFlight)
    guard !observation.probes.isEmpty else { return }
    // Level, plain bytes, payload bytes, nanoseconds of each.
    let probes = observation.probes.map {
      "[\($0.level),\($0.plainBytes),\($0.payloadBytes),\($0.time.nanoseconds)]"
    }
    members.append("\"probes\":[\(probes.joined(separator: ","))]")
  }

  private mutating func add(_ link: LinkSample) {
    add("rtt_ns", link.rtt)
    add("rtt_variance_ns", link.rttVariance)
    add("min_rtt_ns", link.minRTT)
    add("bytes_sent", link.bytesSent)
    add("bytes_retransmitted", link.bytesRetransmitted)
    add("bytes_acknowledged", link.bytesAcknowledged)
    add("delivery_rate", link.deliveryRate)
    add("app_limited", link.isAppLimited)
    add("bytes_not_sent", link.bytesNotSent)
    add("congestion", link.congestion.rawValue)
  }

  mutating func add(_ decision: Decision) {
    add("chunk", decision.settings.bytes)
    add("codec", "\(decision.settings.encoding.codec)")
    add("level", decision.settings.encoding.level)
    add("in_flight", decision.bytesInFlight)
    if let congestion = decision.congestion { add("set_congestion", congestion.rawValue) }
    if !decision.probe.isEmpty {
      members.append("\"probe\":[\(decision.probe.map(String.init).joined(separator: ","))]")
    }
    add("reason", decision.reason)
  }
}

extension Duration {
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}
