import StreamDiffCore

extension CodecProbeResult {
  /// Tries a level. - Returns: `nil` where there is no memory for it.
  init?(of sample: [UInt8], level: Int32) {
    let start = ContinuousClock.now
    guard !sample.isEmpty, let bytes = try? CodecProbe().measure(sample.span.bytes, level: level) else {
      return nil
    }
    self.init(
      level: level, plainBytes: sample.count, payloadBytes: bytes, time: start.duration(to: .now))
  }
}
