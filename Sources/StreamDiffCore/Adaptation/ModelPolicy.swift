/// The highest predicted goodput: of each encoding what network, encoding and the rest of the way allow.
///
///     goodput(encoding) = min(network × ratio, encode speed, what the source brings and the receiver takes)
///
/// The parts are choices of their own: the encoding (`EncodingChoice`), the chunk (`ChunkChoice`), bytes in flight
/// (`FlightChoice`), and which levels to sample (`ProbeSchedule`).
struct ModelPolicy: AdaptationPolicy {
  private var encoding: EncodingChoice
  private var chunk = ChunkChoice()
  private var flight: FlightChoice

  private var probes = ProbeSchedule()

  /// - Parameter start: when it takes over, since the session began.
  init(since start: Duration) {
    encoding = EncodingChoice(since: start)
    flight = FlightChoice(since: start)
  }

  /// All that it takes from the settings comes as bounds.
  mutating func change(to _: AdaptationSettings) {}

  mutating func decide(
    after observation: Observation, link: LinkEstimate, bounds: AdaptationBounds
  ) -> Decision {
    encoding.update(observation, link, bounds)
    let ratio = encoding.profile.estimate(encoding.current).ratio
    let bytes = chunk.update(wire: link.busyRate, ratio: ratio, bounds)
    let inFlight = flight.update(observation, link, chunk: bytes)
    var decision = Decision(
      settings: ChunkSettings(bytes: bytes, encoding: encoding.current), bytesInFlight: inFlight,
      reason: encoding.reason)

    decision.probe = probes.update(observation, encoding, bounds, isBusy: link.isBusy)
    return decision
  }
}
