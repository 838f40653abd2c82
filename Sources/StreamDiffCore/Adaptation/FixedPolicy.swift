/// What the settings say, whatever the link does.
struct FixedPolicy: AdaptationPolicy {
  let settings: AdaptationSettings

  mutating func decide(after _: Observation, link _: LinkEstimate, bounds _: AdaptationBounds) -> Decision {
    Decision(
      settings: ChunkSettings(
        bytes: settings.chunk,
        encoding: settings.codec == .none ? .plain : ChunkEncoding(codec: .zstd, level: settings.level)),
      bytesInFlight: settings.inflightMax, reason: "fixed")
  }
}
