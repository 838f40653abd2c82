/// What the settings say, whatever the link does.
struct FixedPolicy: AdaptationPolicy {
  private(set) var settings: AdaptationSettings

  mutating func change(to settings: AdaptationSettings) { self.settings = settings }

  mutating func decide(after _: Observation, link _: LinkEstimate, bounds _: AdaptationBounds) -> Decision {
    Decision(
      settings: ChunkSettings(
        bytes: settings.chunk,
        encoding: settings.codec == .none ? .plain : ChunkEncoding(codec: .zstd, level: settings.level)),
      bytesInFlight: settings.inflightMax, reason: "fixed")
  }
}
