/// When a sender reports: at each change, and while chunks leave at times for the measurements alone.
public struct ReportSchedule: Sendable {
  /// Between two of these.
  public static let interval = Duration.seconds(1)

  private var last: (time: Duration, report: AdaptationReport)?

  public init() {}

  /// - Parameter observation: the newest, which `report` takes into account.
  /// - Returns: whether the report is to be sent: it then counts as sent.
  public mutating func takes(_ report: AdaptationReport, after observation: Observation) -> Bool {
    if let (time, last) = last {
      let isNew =
        last.chunk != report.chunk || last.encoding != report.encoding || last.reason != report.reason
      let isDue = observation.chunks > 0 && observation.time - time >= Self.interval
      guard isNew || isDue else { return false }
    }
    last = (observation.time, report)
    return true
  }
}

extension AdaptationReport {
  /// Bytes per second beyond which a measurement is none.
  private static let rateLimit = 1e15

  /// - Parameters:
  ///   - notes: what stands beside the decision's reason, as what keeps the sender from it.
  ///   - unmet: what its receiver asked for and does not get.
  public init(of controller: TransferController, notes: [String] = [], unmet: [String] = []) {
    self.init()
    let (link, decision) = (controller.link, controller.decision)
    chunk = UInt32(clamping: decision.settings.bytes)
    encoding = decision.settings.encoding
    bytesInFlight = UInt64(decision.bytesInFlight)
    rtt = link.rtt ?? .zero
    minRTT = link.minRTT ?? .zero
    loss = link.loss ?? 0
    wireRate = UInt64(min(Self.rateLimit, link.deliveredRate))
    plainRate = UInt64(min(Self.rateLimit, link.deliveredPlainRate))
    policy = controller.settings.policy.rawValue
    congestion = link.congestion?.rawValue ?? ""
    reason = ([decision.reason] + notes + unmet).joined(separator: "; ")
    self.unmet = unmet.joined(separator: "; ")
  }
}
