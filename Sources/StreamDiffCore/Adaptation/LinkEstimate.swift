private import DequeModule

/// What is known of the link from a session's observations.
public struct LinkEstimate: Sendable {
  /// How long the least round-trip time counts as the distance: a rise of the distance is queueing until then.
  static let distanceWindow = Duration.seconds(10)
  /// More than a satellite's hop and all of the earth: what says that the way is longer is a queue, or lies.
  static let mostBeyond = Duration.seconds(2)
  /// Whatever a peer makes of a round trip.
  static let longestWindow = Duration.seconds(30)

  private struct Interval {
    var end: Duration
    var length: Duration
    var acknowledged: Double
    var sent: Double
    var retransmitted: Double
    /// The connection had something to send throughout.
    var isBusy: Bool
  }

  private var window: Duration
  private var intervals: Deque<Interval> = []
  private var last: (time: Duration, sample: LinkSample)?
  private var lastTime: Duration?
  /// Payload of plain bytes, lately.
  private var share = 1.0
  /// Plain bytes that can still be acknowledged: a peer that says more is not believed.
  private var unacknowledged = 0.0
  /// The kernel's round trip, or where it tells none the peer's answers; the least of it.
  private var near: Duration?
  private var distance = WindowedExtremum<Duration>.minimum(over: Self.distanceWindow)
  /// By how much a PING takes longer than the kernel's: the kernel's ends at a proxy, and a PING behind it. What a PING
  /// waits for elsewhere is not always there, so that the least of some tells.
  private var further = WindowedExtremum<Duration>.minimum(over: Self.distanceWindow)
  /// The least of what PINGs took. The kernel's round trip beside one may be longer than it mostly is, on a busy
  /// machine, and what is beyond it seem less.
  private var wholeWay = WindowedExtremum<Duration>.minimum(over: Self.distanceWindow)
  private var hasPings = false

  public private(set) var congestion: CongestionControl?

  public init(window: Duration) { self.window = window }

  private var beyond: Duration { further.value ?? .zero }

  /// To the peer and back, the newest smoothed one; `nil` before the first.
  public var rtt: Duration? { near.map { max($0 + beyond, minRTT ?? .zero) } }

  /// The least round-trip time of the last 10 s. Where most of the way is beyond what the kernel sees, it is no shorter
  /// than the least PING.
  public var minRTT: Duration? {
    distance.value.map { near in beyond > near ? max(near + beyond, wholeWay.value ?? .zero) : near + beyond }
  }

  /// How much of the round-trip time is waiting in queues.
  public var queueing: Duration {
    guard let rtt, let minRTT else { return .zero }
    return max(.zero, rtt - minRTT)
  }

  /// More of it than measurements err by.
  public var isQueueing: Bool { queueing > (minRTT ?? .zero) * 2 / 5 + .milliseconds(3) }

  /// Bytes retransmitted, of those sent in the window; `nil` before anything was.
  public var loss: Double? {
    let sent = intervals.reduce(0) { $0 + $1.sent }
    guard sent > 0 else { return nil }
    return min(1, intervals.reduce(0) { $0 + $1.retransmitted } / sent)
  }

  /// Bytes per second that the network took while there was always something to send; `nil` when there was not, long
  /// enough to tell.
  public var busyRate: Double? {
    var (bytes, time) = (0.0, Duration.zero)
    for interval in recent where interval.isBusy {
      bytes += interval.acknowledged
      time += interval.length
    }
    guard isBusy, time >= leastBusy, bytes > 0 else { return nil }
    return bytes / time.seconds
  }

  /// Over what rates are told: four round trips, and 300 ms at least. They follow a link sooner than loss can be told.
  var rateWindow: Duration { max(.milliseconds(300), (minRTT ?? .zero) * 4) }

  private var recent: some Sequence<Interval> {
    let (length, end) = (rateWindow, intervals.last?.end ?? .zero)
    return intervals.lazy.reversed().prefix { end - $0.end < length }
  }

  /// Bytes per second that it took.
  public var deliveredRate: Double {
    let (bytes, time) = recent.reduce((0.0, Duration.zero)) { ($0.0 + $1.acknowledged, $0.1 + $1.length) }
    return time > .zero ? bytes / time.seconds : 0
  }

  /// What that was before encoding, by what chunks shrink to lately.
  public var deliveredPlainRate: Double { share > 0 ? deliveredRate / share : 0 }

  /// There was something to send most of the time lately: the network is the limit.
  public var isBusy: Bool {
    let (busy, all) = recent.reduce((Duration.zero, Duration.zero)) {
      ($0.0 + ($1.isBusy ? $1.length : .zero), $0.1 + $1.length)
    }
    return busy * 2 > all
  }

  /// Two round trips: what was acknowledged within one was sent in the one before.
  private var leastBusy: Duration { max(.milliseconds(100), (minRTT ?? .zero) * 2) }

  /// - Parameter isBusy: whether the sender had something to send throughout.
  public mutating func receive(_ observation: Observation, isBusy: Bool, window: Duration) {
    let now = observation.time
    self.window = max(window, min(Self.longestWindow, (minRTT ?? .zero) * 4))
    if let link = observation.link {
      congestion = link.congestion
      if link.rtt > .zero { note(rtt: link.rtt, now: now) }
      if let (time, before) = last, now > time {
        intervals.append(Self.interval(before, link, time, now, isBusy))
      }
      last = (now, link)
      if link.rtt > .zero, let ping = pingTime(observation) {
        let beyond = min(Self.mostBeyond, max(.zero, ping - link.rtt))
        further.add(beyond, now: now)
        wholeWay.add(link.rtt + beyond, now: now)
      }
    } else {
      // An acknowledgement tells what applying takes, too.
      if let ping = pingTime(observation) {
        hasPings = true
        note(rtt: min(Self.mostBeyond, ping), now: now)
      } else if !hasPings, let delay = observation.acknowledgementDelay {
        note(rtt: delay, now: now)
      }
      intervals.append(
        Interval(
          end: now, length: now - (lastTime ?? now),
          acknowledged: payload(acknowledgedIn: observation),
          sent: Double(observation.payloadBytes), retransmitted: 0, isBusy: isBusy))
    }
    if let now = Self.share(observation) { share = now }
    lastTime = now
    while let first = intervals.first, now - first.end > self.window { intervals.removeFirst() }
  }

  /// What a PING took from when the socket had sent what stood before it; `nil` where that cannot be told.
  private func pingTime(_ observation: Observation) -> Duration? {
    guard let ping = observation.pingRTT else { return nil }
    guard observation.pingQueue > 0 else { return ping }
    let rate = deliveredRate
    guard rate > 0 else { return nil }
    return max(.zero, ping - Duration(rounding: min(1e6, Double(observation.pingQueue) / rate)))
  }

  private mutating func note(rtt: Duration, now: Duration) {
    near = rtt
    distance.add(rtt, now: now)
  }

  /// Payload of plain bytes in this interval; `nil` where there were none.
  private static func share(_ observation: Observation) -> Double? {
    observation.plainBytes > 0 ? Double(observation.payloadBytes) / Double(observation.plainBytes) : nil
  }

  /// Acknowledgements count plain bytes. After a change of encoding they may be of either: the smaller is sure.
  private mutating func payload(acknowledgedIn observation: Observation) -> Double {
    unacknowledged += Double(observation.plainBytes)
    let bytes = min(unacknowledged, Double(max(0, observation.acknowledgedBytes)))
    unacknowledged -= bytes
    return bytes * min(share, Self.share(observation) ?? share)
  }

  /// Totals that fall come from a connection that is not the same: they count as nothing.
  private static func interval(
    _ before: LinkSample, _ after: LinkSample, _ start: Duration, _ end: Duration, _ isBusy: Bool
  ) -> Interval {
    func rise(_ field: KeyPath<LinkSample, UInt64>) -> Double {
      after[keyPath: field] > before[keyPath: field]
        ? Double(after[keyPath: field] - before[keyPath: field]) : 0
    }
    return Interval(
      end: end, length: end - start, acknowledged: rise(\.bytesAcknowledged), sent: rise(\.bytesSent),
      retransmitted: rise(\.bytesRetransmitted), isBusy: isBusy)
  }
}
