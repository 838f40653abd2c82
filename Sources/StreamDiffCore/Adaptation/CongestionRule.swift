/// bbr, where loss does not come with queueing, or queueing with everything: distance and random loss then do not
/// slow the connection, and its queue stays short.
struct CongestionRule: Sendable {
  private let settings: AdaptationSettings
  private(set) var reason: String?

  init(_ settings: AdaptationSettings) { self.settings = settings }

  /// - Returns: what to change to; `nil` for what the connection has. Asked again when a wish came to nothing, it
  ///   wishes the same: the edge says so once.
  mutating func update(_ link: LinkEstimate) -> CongestionControl? {
    guard let present = link.congestion else { return nil }
    switch settings.congestion {
    case .bbr: return present == .bbr ? nil : .bbr
    case .cubic: return present == .cubic ? nil : .cubic
    case .auto: break
    }
    guard settings.policy == .model, present != .bbr, let minRTT = link.minRTT else { return nil }
    let isQueueing = link.queueing > max(.milliseconds(5), minRTT)
    if isQueueing {
      reason = "bbr: \(Text.milliseconds(link.queueing)) of queueing"
      return .bbr
    }
    guard let loss = link.loss, loss >= 0.001, link.queueing * 4 < minRTT + .milliseconds(4) else {
      return nil
    }
    reason = "bbr: loss of \(Text.percent(loss)) without queueing"
    return .bbr
  }
}
