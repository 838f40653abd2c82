import Foundation
import StreamDiffCore

/// A transfer over a link that exists in numbers alone: every 50 ms what the parts of the way allow becomes an
/// observation, and the controller's decision holds for the next 50 ms.
///
/// It is a fluid model: the slowest of encoding, network, source and receiver is the goodput, the rest waits.
struct VirtualTransfer {
  /// What the link, the data and the two ends are at a moment.
  struct Conditions {
    var rtt = 0.02
    /// Bytes per second that the network delivers, loss accounted for.
    var rate = 12.5e6
    var loss = 0.0
    /// How well the data shrinks: 0 is random, 1 as the mean of the priors.
    var shrink = 1.0
    /// Of the processor that encodes: 1 is the priors' machine.
    var processor = 1.0
    /// Plain bytes per second.
    var source = 400e6
    var receiver = 300e6
    /// Plain bytes.
    var credit = 64e6
    /// How much slower encoding is when it takes all of its processor: others want some of it too.
    var contention = 0.0
    /// Plain bytes per second that all else makes of the processor that encodes: reading the source, and what the
    /// receiver needs where both ends are one machine.
    var rest = Double.infinity
    /// How much files differ, and how much of the processor others take from moment to moment: the standard deviation
    /// of the logarithm of both.
    var wander = 0.0
  }

  static let step = 0.05
  /// Seconds: how often bbr sends next to nothing, how long, and what share it does send.
  private static let (pauseInterval, pause, pauseShare) = (10.0, 0.2, 0.05)

  var controller: TransferController
  var random: SplitMix
  /// What each level is to the mean, in this data: truth that the controller has to find.
  let bias: [Int32: (speed: Double, gain: Double)]
  /// Relative error of single measurements.
  var noise = 0.1
  /// Whether the kernel tells anything.
  var hasKernel = true
  /// Changes what the controller is told.
  var lie: (@Sendable (inout Observation) -> Void)?

  private(set) var time = 0.0
  /// Plain bytes.
  private(set) var delivered = 0.0
  private var sent = 0.0
  private var retransmitted = 0.0
  private var probes: [CodecProbeResult] = []
  private(set) var changes: [Double] = []
  /// Of this moment: what the data shrinks to and what encoding it takes, of the mean.
  private var shrinking = Wander(memory: 0.5)
  private var working = Wander(memory: 0.3)
  private(set) var decisions: [Decision] = []

  init(_ settings: AdaptationSettings = AdaptationSettings(), seed: Int, spread: Double = 0.2) {
    controller = TransferController(settings)
    random = SplitMix(seed: seed)
    var bias: [Int32: (speed: Double, gain: Double)] = [:]
    for level in CodecProfile.levels {
      bias[level] = (
        .random(in: (1 - spread)...(1 + spread), using: &random),
        .random(in: (1 - spread)...(1 + spread), using: &random)
      )
    }
    self.bias = bias
  }

  /// The truth of an encoding: plain bytes per second, and plain bytes over payload.
  func truth(_ encoding: ChunkEncoding, _ now: Conditions) -> CodecProfile.Estimate {
    guard encoding.codec == .zstd, let bias = bias[encoding.level] else {
      return CodecProfile.Estimate(speed: 4e9, ratio: 1)
    }
    var prior = CodecProfile().estimate(encoding)
    prior.speed *= bias.speed * now.processor * working.factor(now.wander)
    prior.ratio = 1 + (prior.ratio - 1) * bias.gain * now.shrink * shrinking.factor(now.wander)
    return prior
  }

  /// Plain bytes per second with these settings.
  func goodput(_ encoding: ChunkEncoding, bytesInFlight: Double, _ now: Conditions) -> Double {
    let truth = truth(encoding, now)
    let flight = min(bytesInFlight, now.credit) / (now.rtt + 0.002)
    let processor = 1 / ((1 + now.contention) / truth.speed + 1 / now.rest)
    return min(processor, now.rate * truth.ratio, now.source, now.receiver, flight)
  }

  /// All fixed settings.
  private var fixed: [ChunkEncoding] {
    let levels = CodecProfile.levels.filter {
      controller.settings.levelMin...controller.settings.levelMax ~= $0
    }
    return [ChunkEncoding.plain] + levels.map { ChunkEncoding(codec: .zstd, level: $0) }
  }

  private mutating func measured(_ value: Double) -> Double {
    value * .random(in: (1 - noise)...(1 + noise), using: &random)
  }

  /// One step. - Returns: plain bytes that got through.
  mutating func advance(_ now: Conditions) -> Double {
    let decision = controller.decision
    let encoding = decision.settings.encoding
    let truth = truth(encoding, now)
    let goodput = goodput(encoding, bytesInFlight: Double(decision.bytesInFlight), now)
    time += Self.step
    let plain = goodput * Self.step
    delivered += plain
    var observation = Observation()
    observation.time = .nanoseconds(Int64(time * 1e9))
    observation.encoding = encoding
    observation.plainBytes = Int(plain)
    // What does not shrink never does.
    observation.payloadBytes = Int(plain / (1 + measured(truth.ratio - 1)))
    observation.chunks = max(1, observation.plainBytes / decision.settings.bytes)
    let encodeShare = min(1, goodput * (1 + now.contention) / truth.speed)
    observation.encodeTime = .nanoseconds(Int64(measured(encodeShare * Self.step) * 1e9))
    let atWork = min(1, encodeShare + goodput / now.rest)
    let rest = max(0, (1 - atWork) * Self.step)
    observation.sourceWait = .nanoseconds(Int64((atWork - encodeShare) * Self.step * 1e9))
    let isNetwork = goodput >= now.rate * truth.ratio * 0.999
    let waited = Duration.nanoseconds(Int64(rest * 1e9))
    if isNetwork {
      observation.sendWait = waited
    } else if goodput >= now.source * 0.999 {
      observation.sourceWait += waited
    } else {
      observation.creditWait = waited
    }
    observation.acknowledgedBytes = observation.plainBytes
    observation.acknowledgementDelay = .nanoseconds(Int64(measured(now.rtt + 0.002) * 1e9))
    observation.bytesInFlight = min(decision.bytesInFlight, Int(now.credit))
    let wire = plain / truth.ratio
    sent += wire * (1 + now.loss)
    retransmitted += wire * now.loss
    if hasKernel {
      var link = LinkSample()
      let queue = isNetwork ? now.rtt * 0.2 : 0
      link.rtt = .nanoseconds(Int64(measured(now.rtt + queue) * 1e9))
      link.minRTT = .nanoseconds(Int64(now.rtt * 1e9))
      link.bytesSent = UInt64(sent)
      link.bytesRetransmitted = UInt64(retransmitted)
      link.bytesAcknowledged = UInt64(sent - retransmitted)
      link.deliveryRate = UInt64(measured(wire / Self.step))
      link.isAppLimited = !isNetwork
      link.bytesNotSent = isNetwork ? 100_000 : 0
      link.congestion = .bbr
      observation.link = link
    }
    observation.probes = exchange(&probes, with: [])
    lie?(&observation)
    let next = controller.receive(observation)
    if next.settings.encoding != encoding { changes.append(time) }
    decisions.append(next)
    for level in next.probe { probes.append(probe(level, now)) }
    return plain
  }

  private mutating func probe(_ level: Int32, _ now: Conditions) -> CodecProbeResult {
    let truth = truth(ChunkEncoding(codec: .zstd, level: level), now)
    let plain = 256 << 10
    // One sample for all: what differs between levels is told well, and times badly.
    return CodecProbeResult(
      level: level, plainBytes: plain, payloadBytes: max(1, Int(Double(plain) / truth.ratio)),
      time: .nanoseconds(Int64(measured(Double(plain) / truth.speed) * 1e9)))
  }

  /// Runs for so long. - Returns: goodput over the oracle's in the part after `settle`.
  mutating func run(_ now: Conditions, seconds: Double, settle: Double) -> Double {
    var got = 0.0
    let fixed = fixed
    var others = [Double](repeating: 0, count: fixed.count)
    let start = time
    while time - start < seconds {
      var now = now
      if time.truncatingRemainder(dividingBy: Self.pauseInterval) > Self.pauseInterval - Self.pause {
        now.rate *= Self.pauseShare
      }
      shrinking.advance(Self.step, &random)
      working.advance(Self.step, &random)
      let plain = advance(now)
      guard time - start > settle else { continue }
      got += plain
      for (index, encoding) in fixed.enumerated() {
        others[index] += goodput(encoding, bytesInFlight: 64e6, now) * Self.step
      }
    }
    let best = others.max() ?? 0
    return best > 0 ? got / best : 1
  }
}

/// What drifts about a mean and returns to it.
private struct Wander {
  /// Seconds in which most of it is forgotten.
  let memory: Double
  private var state = 0.0

  init(memory: Double) { self.memory = memory }

  mutating func advance(_ seconds: Double, _ random: inout SplitMix) {
    let kept = 1 - min(1, seconds / memory)
    // The sum of three is near enough to the normal distribution; its deviation is 1.
    let step = (0..<3).reduce(0.0) { sum, _ in sum + .random(in: -1...1, using: &random) }
    state = state * kept + step * (1 - kept * kept).squareRoot()
  }

  /// - Parameter deviation: of the logarithm.
  func factor(_ deviation: Double) -> Double { deviation > 0 ? exp(state * deviation) : 1 }
}
