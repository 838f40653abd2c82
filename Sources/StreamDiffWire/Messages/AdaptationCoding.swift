import CStreamDiffProtos
import StreamDiffCore

extension AdaptationHint {
  /// Settings of one hint, or of one change: there are not so many tunables.
  static let settingsLimit = 64

  init(_ message: Streamdiff__V1__AdaptationHint) throws(WireError) {
    self.init()
    decodeBytesPerSecond = message.decode_bytes_per_second
    applyBytesPerSecond = message.apply_bytes_per_second
    credit = message.credit
    chunkMinimum = message.chunk_min
    chunkMaximum = message.chunk_max
    settings = try [Setting](message.settings, message.n_settings)
  }

  func fill(_ message: inout Streamdiff__V1__AdaptationHint, _ arena: inout MessageArena) {
    message.decode_bytes_per_second = decodeBytesPerSecond
    message.apply_bytes_per_second = applyBytesPerSecond
    message.credit = credit
    message.chunk_min = chunkMinimum
    message.chunk_max = chunkMaximum
    message.n_settings = settings.count
    message.settings = arena.messages(settings, streamdiff__v1__setting__init) { $1.fill(&$0, &$2) }
  }
}

extension Setting {
  /// Bytes of a name or a value: no tunable has longer ones.
  static let textLimit = 64

  func fill(_ message: inout Streamdiff__V1__Setting, _ arena: inout MessageArena) {
    message.name = arena.string(name)
    message.value = arena.string(value)
  }
}

extension [Setting] {
  init(
    _ messages: UnsafeMutablePointer<UnsafeMutablePointer<Streamdiff__V1__Setting>?>?, _ count: Int
  ) throws(WireError) {
    guard count <= AdaptationHint.settingsLimit else {
      throw WireError(.tooLarge, "\(count) settings; at most \(AdaptationHint.settingsLimit) are taken")
    }
    self = []
    for place in 0..<count {
      guard let message = messages?[place]?.pointee else { continue }
      append(
        Setting(
          name: try ProtoCoding.string(message.name, "name", limit: Setting.textLimit),
          value: try ProtoCoding.string(message.value, "value", limit: Setting.textLimit)))
    }
  }
}

extension AdaptationReport {
  /// Bytes of what it says in words: a server keeps it for each session.
  static let textLimit = 1024

  init(_ message: Streamdiff__V1__AdaptationReport) throws(WireError) {
    self.init()
    guard let number = UInt8(exactly: message.codec.rawValue), let codec = Codec(rawValue: number) else {
      throw WireError(.unsupported, "codec \(message.codec.rawValue)")
    }
    chunk = message.chunk
    encoding = ChunkEncoding(codec: codec, level: message.level)
    bytesInFlight = message.in_flight
    rtt = .microseconds(Int64(clamping: message.rtt_us))
    minRTT = .microseconds(Int64(clamping: message.min_rtt_us))
    loss = min(1, Double(message.loss_ppm) / 1e6)
    wireRate = message.wire_rate
    plainRate = message.plain_rate
    policy = try ProtoCoding.string(message.policy, "policy", limit: Self.textLimit)
    congestion = try ProtoCoding.string(message.congestion, "congestion", limit: Self.textLimit)
    reason = try ProtoCoding.string(message.reason, "reason", limit: Self.textLimit)
    unmet = try ProtoCoding.string(message.unmet, "unmet", limit: Self.textLimit)
  }

  func fill(_ message: inout Streamdiff__V1__AdaptationReport, _ arena: inout MessageArena) {
    message.chunk = chunk
    message.codec = .init(rawValue: UInt32(encoding.codec.rawValue))
    message.level = encoding.level
    message.in_flight = bytesInFlight
    message.rtt_us = rtt.microseconds
    message.min_rtt_us = minRTT.microseconds
    message.loss_ppm = lossPerMillion
    message.wire_rate = wireRate
    message.plain_rate = plainRate
    message.policy = arena.string(policy)
    message.congestion = arena.string(congestion)
    message.reason = arena.string(reason)
    message.unmet = arena.string(unmet)
  }
}

extension AdaptationReport {
  var lossPerMillion: UInt32 { UInt32((min(1, max(0, loss)) * 1e6).rounded()) }
}

extension Duration {
  /// Whole ones; none for a negative time.
  var microseconds: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(clamping: seconds) * 1_000_000 + UInt64(clamping: attoseconds / 1_000_000_000_000)
  }
}
