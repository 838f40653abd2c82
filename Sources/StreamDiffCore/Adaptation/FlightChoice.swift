/// How many plain bytes may be unacknowledged: twice what is sent within the least delay of an acknowledgement, so that
/// growth is possible, and two chunks. While the session waits for that alone, as when a receiver that flushes takes a
/// moment longer, it is raised; not so where the network's queue grows with it.
///
/// A congestion control that keeps the network's queue short itself (bbr) leaves room for half a second more: for a
/// receiver's moments and for what waits behind a lost segment.
struct FlightChoice: Sendable {
  /// Small sessions need no bound.
  static let least = 1 << 20
  private static let window = Duration.seconds(2)
  /// Of a look at the session while it waits, while there is a queue, and else: a receiver's moment comes again.
  private static let (raise, retreat, decay) = (1.25, 0.95, 0.997)
  private static let mostBoost = 16.0
  /// Before anything is known, in chunks: without and with a control that keeps queues short.
  private static let (first, firstFree) = (64, 256)
  private static let moment = 0.5

  private var delay = WindowedExtremum<Duration>.minimum(over: window)
  private var rate = WindowedExtremum<Double>.maximum(over: window)
  private var boost = 1.0
  private var last = Duration.zero
  private var sent = 0.0
  private var since = Duration.zero

  /// - Parameter start: when it takes over, since the session began.
  init(since start: Duration) { (last, since) = (start, start) }

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
    if length > .zero, !isBacklogged, !link.isQueueing, observation.creditWait * 5 > length {
      boost = min(Self.mostBoost, boost * Self.raise)
    } else {
      boost = max(1, boost * (link.isQueueing ? Self.retreat : Self.decay))
    }
    let isFree = link.congestion == .bbr
    guard let delay = delay.value, let rate = rate.value else {
      return max(Self.least, (isFree ? Self.firstFree : Self.first) * chunk)
    }
    // No acknowledgement is faster than the network, whatever the peer says.
    let covered = 2 * boost * max(delay, link.minRTT ?? .zero).seconds + (isFree ? Self.moment : 0)
    return max(Self.least, Int(min(1e12, rate * covered)) + 2 * chunk)
  }
}
