/// What one direction of a link does to packets.
public struct LinkSettings: Hashable, Sendable {
  /// One way.
  public var delay = Interval.zero
  /// Each packet's delay is drawn evenly from `delay` ± `jitter`. Order is kept: behind a slow packet others wait.
  public var jitter = Interval.zero
  /// `nil`: no limit, and nothing ever waits in the queue.
  public var rate: Rate?
  /// Of each packet on its own, after it has taken its time on the transmitter.
  public var loss = Share.none
  /// Bytes that may wait, the packet on the transmitter included; `nil`: `defaultQueueBytes`.
  public var queueBytes: Int?

  public init() {}

  /// What passes at full rate in twice the delay and at least in 5 ms, and never less than 64 packets: TCP sends
  /// bursts of 43, and with less than some of them in the queue a flow at 1 Gbit/s and 1 ms gets half of it.
  public func defaultQueueBytes(mtu: Int) -> Int {
    max(rate.map { $0.bytes(in: max(delay + delay, .milliseconds(5))) } ?? 0, 64 * mtu)
  }

  /// - Returns: what is wrong with them together, for people.
  public func fault(mtu: Int) -> String? {
    if jitter > delay { return "jitter \(jitter.text) is above the one-way delay \(delay.text)" }
    if let queueBytes, queueBytes < mtu { return "queue \(queueBytes)B does not hold one packet of \(mtu)" }
    return nil
  }
}

/// Settings to change; what is `nil` stays. As text a list, `delay=20ms,rate=10mbit`, the same on the command line
/// and on the control socket.
public struct LinkChange: Hashable, Sendable {
  public enum Limit<Value: Hashable & Sendable>: Hashable, Sendable {
    case none
    case some(Value)
    var value: Value? {
      switch self {
      case .none: nil
      case .some(let value): value
      }
    }
  }

  public var delay: Interval?
  public var jitter: Interval?
  /// `.none`: no limit.
  public var rate: Limit<Rate>?
  public var loss: Share?
  /// `.none`: the default that follows from rate and delay.
  public var queue: Limit<Int>?

  public init() {}

  public func apply(to settings: inout LinkSettings) {
    if let delay { settings.delay = delay }
    if let jitter { settings.jitter = jitter }
    if let rate { settings.rate = rate.value }
    if let loss { settings.loss = loss }
    if let queue { settings.queueBytes = queue.value }
  }

  /// `change` comes after this one, and wins.
  public func followed(by change: LinkChange) -> LinkChange {
    var both = self
    both.delay = change.delay ?? delay
    both.jitter = change.jitter ?? jitter
    both.rate = change.rate ?? rate
    both.loss = change.loss ?? loss
    both.queue = change.queue ?? queue
    return both
  }
}

/// Text that is no setting; `reason` says which part and why.
public struct SettingsError: Error, Equatable, Sendable {
  public let reason: String
  public init(reason: String) { self.reason = reason }
}

extension LinkChange {
  public init(text: String) throws(SettingsError) {
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2 else { throw SettingsError(reason: "'\(part)' is not NAME=VALUE") }
      try set(sides[0], sides[1])
    }
  }

  private mutating func set(_ name: String, _ value: String) throws(SettingsError) {
    let isGood: Bool
    switch name {
    case "delay":
      delay = Interval(text: value)
      isGood = delay != nil
    case "jitter":
      jitter = Interval(text: value)
      isGood = jitter != nil
    case "rate":
      rate = Self.rate(text: value)
      isGood = rate != nil
    case "loss":
      loss = Share(text: value)
      isGood = loss != nil
    case "queue":
      queue = Self.queue(text: value)
      isGood = queue != nil
    default:
      throw SettingsError(reason: "'\(name)' is none of delay, jitter, rate, loss, queue")
    }
    guard isGood else { throw SettingsError(reason: "'\(value)' is no \(name)") }
  }

  /// `unlimited`, or a rate.
  public static func rate(text: String) -> Limit<Rate>? {
    text == "unlimited" ? Limit.none : Rate(text: text).map { .some($0) }
  }

  /// `default`, or a size.
  public static func queue(text: String) -> Limit<Int>? {
    text == "default" ? Limit.none : bytes(text: text).map { .some($0) }
  }

  /// Empty where nothing changes.
  public var text: String {
    var parts: [String] = []
    if let delay { parts.append("delay=\(delay.text)") }
    if let jitter { parts.append("jitter=\(jitter.text)") }
    if let rate { parts.append("rate=\(rate.value?.text ?? "unlimited")") }
    if let loss { parts.append("loss=\(loss.text)") }
    if let queue { parts.append("queue=\(queue.value.map { "\($0)B" } ?? "default")") }
    return parts.joined(separator: ",")
  }
}
