import StreamDiffCore

extension TraceLine {
  /// Counts of one interval, and times in nanoseconds: sums of many stay far from what an integer holds.
  private static let countLimit = 1 << 48
  private static let timeLimit: Int64 = 1 << 56

  /// What `text` wrote, and nothing else.
  /// - Parameter line: without its line feed.
  public init(_ line: UnsafeRawBufferPointer) throws(JSONProblem) {
    var object = try ObjectReader(line)
    switch try object.text("kind") {
    case "settings":
      var settings = AdaptationSettings()
      for tunable in Tunable.allCases {
        settings = try object.text(tunable.rawValue) { text in
          var changed = settings
          return (try? changed.set(tunable, to: text)).map { changed }
        }
      }
      do throws(TunableError) {
        try settings.check()
      } catch {
        throw JSONProblem(column: 1, reason: error.detail)
      }
      self = .settings(settings, try Self.time(&object, "time_ns"))
    case "hint": self = .hint(try Self.hint(&object), try Self.time(&object, "time_ns"))
    case "decision": self = .decision(try Self.observation(&object), try Self.decision(&object))
    case let kind: throw JSONProblem(column: 1, reason: "the kind \(printable(kind.utf8)) is unknown")
    }
    try object.finish()
  }

  private static func time(_ object: inout ObjectReader, _ name: String) throws(JSONProblem) -> Duration {
    .nanoseconds(try object.number(name, in: 0...timeLimit))
  }

  private static func count(_ object: inout ObjectReader, _ name: String) throws(JSONProblem) -> Int {
    try object.number(name, in: 0...countLimit)
  }

  private static func total(_ object: inout ObjectReader, _ name: String) throws(JSONProblem) -> UInt64 {
    try object.number(name)
  }

  private static func hint(_ object: inout ObjectReader) throws(JSONProblem) -> AdaptationHint {
    var hint = AdaptationHint()
    hint.decodeBytesPerSecond = try total(&object, "decode_bytes_per_second")
    hint.applyBytesPerSecond = try total(&object, "apply_bytes_per_second")
    hint.credit = try total(&object, "credit")
    hint.chunkMinimum = try object.number("chunk_min")
    hint.chunkMaximum = try object.number("chunk_max")
    guard object.has("settings") else { return hint }
    hint.settings = try object.list("settings") { value in
      guard case .list(let pair) = value, pair.count == 2, case .text(let name) = pair[0],
        case .text(let text) = pair[1]
      else { return nil }
      return Setting(name: name, value: text)
    }
    return hint
  }

  private static func observation(_ object: inout ObjectReader) throws(JSONProblem) -> Observation {
    var observation = Observation()
    observation.time = try time(&object, "time_ns")
    if object.has("rtt_ns") { observation.link = try link(&object) }
    if object.has("ping_ns") {
      observation.pingRTT = try time(&object, "ping_ns")
      observation.pingQueue = try count(&object, "ping_queue_bytes")
    }
    observation.encoding = try encoding(&object, "used_codec", "used_level")
    observation.chunks = try count(&object, "chunks")
    observation.plainBytes = try count(&object, "plain_bytes")
    observation.payloadBytes = try count(&object, "payload_bytes")
    observation.encodeTime = try time(&object, "encode_ns")
    observation.sendWait = try time(&object, "send_wait_ns")
    observation.creditWait = try time(&object, "credit_wait_ns")
    observation.sourceWait = try time(&object, "source_wait_ns")
    observation.acknowledgedBytes = try count(&object, "acknowledged_bytes")
    if object.has("acknowledgement_ns") {
      observation.acknowledgementDelay = try time(&object, "acknowledgement_ns")
    }
    observation.bytesInFlight = try count(&object, "bytes_in_flight")
    guard object.has("probes") else { return observation }
    observation.probes = try object.list("probes") { value in
      guard case .list(let numbers) = value, numbers.count == 4,
        let level: Int32 = ObjectReader.number(numbers[0]),
        let plainBytes = ObjectReader.number(numbers[1], in: 0...countLimit),
        let payloadBytes = ObjectReader.number(numbers[2], in: 0...countLimit),
        let time = ObjectReader.number(numbers[3], in: 0...timeLimit)
      else { return nil }
      return CodecProbeResult(
        level: level, plainBytes: plainBytes, payloadBytes: payloadBytes, time: .nanoseconds(time))
    }
    return observation
  }

  private static func link(_ object: inout ObjectReader) throws(JSONProblem) -> LinkSample {
    var link = LinkSample()
    link.rtt = try time(&object, "rtt_ns")
    link.rttVariance = try time(&object, "rtt_variance_ns")
    link.minRTT = try time(&object, "min_rtt_ns")
    link.bytesSent = try total(&object, "bytes_sent")
    link.bytesRetransmitted = try total(&object, "bytes_retransmitted")
    link.bytesAcknowledged = try total(&object, "bytes_acknowledged")
    link.deliveryRate = try total(&object, "delivery_rate")
    link.isAppLimited = try object.truth("app_limited")
    link.bytesNotSent = try total(&object, "bytes_not_sent")
    link.congestion = try object.text("congestion") { CongestionControl(rawValue: $0) }
    return link
  }

  private static func decision(_ object: inout ObjectReader) throws(JSONProblem) -> Decision {
    var decision = Decision(
      settings: ChunkSettings(
        bytes: try object.number("chunk", in: 1...Limits.chunkBytes),
        encoding: try encoding(&object, "codec", "level")),
      bytesInFlight: try count(&object, "in_flight"), reason: try object.text("reason"))
    if object.has("set_congestion") {
      decision.congestion = try object.text("set_congestion") { CongestionControl(rawValue: $0) }
    }
    if object.has("probe") { decision.probe = try object.list("probe") { ObjectReader.number($0) } }
    return decision
  }

  private static func encoding(
    _ object: inout ObjectReader, _ codec: String, _ level: String
  ) throws(JSONProblem) -> ChunkEncoding {
    let codecs: [String: Codec] = ["none": .none, "zstd": .zstd]
    return ChunkEncoding(codec: try object.text(codec) { codecs[$0] }, level: try object.number(level))
  }
}
