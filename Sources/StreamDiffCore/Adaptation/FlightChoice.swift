/// How many plain bytes may be unacknowledged: twice what is sent within the least delay of an acknowledgement, so that growth is possible, and two chunks. While the session waits for that alone it is
/// raised.
struct FlightChoice: Sendable {
  /// Small sessions need no bound.
  static let least = 1 << 20
  private static let window = Duration.seconds(2)

  private var delay = WindowedExtremum<Duration>.minimum(over: window)
  private var rate = WindowedExtremum<Double>.maximum(over: window)
  private var boost = 1.0
  private var last = Duration.zero
  private var sent = 0.0
  private var since = Duration.zero

  mutating func update(_ observation: Observation, _ link: LinkEstimate, chunk: Int) -> Int {
    let now = observation.time
    let length = now - last
    last = now
    sent += Double(observation.plainBytes)
    if let delay = observation.acknowledgementDelay { self.delay.add(delay, now: now) }
    // Chunks leave in groups: a rate over a round trip at least.
    if now - since >= max(.milliseconds(100), min(Self.window, delay.value ?? .zero)) {
      rate.add(sent / (now - since).seconds, now: now)
      (sent, since) = (0, now)
    }
    // (A queue in the network, or a distance that has grown, is none of it: the kernel then still has bytes unsent.)
    let isBacklogged = (observation.link?.bytesNotSent ?? 0) > 0 || observation.sendWait * 5 > length
    if length > .zero, !isBacklogged, observation.creditWait * 5 > length {
      boost = min(16, boost * 1.25)
    } else {
      boost = max(1, boost * 0.98)
    }
    guard let delay = delay.value, let rate = rate.value else { return max(Self.least, 64 * chunk) }
    // No acknowledgement is faster than the network, whatever the peer says.
    let bytes = min(1e12, 2 * boost * rate * max(delay, link.minRTT ?? .zero).seconds)
    return max(Self.least, Int(bytes) + 2 * chunk)
  }
}
