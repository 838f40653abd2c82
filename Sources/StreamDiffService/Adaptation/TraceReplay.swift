import StreamDiffCore

/// Puts a trace's inputs through the controller again and compares each decision with the one that was written.
public struct TraceReplay: Sendable {
  public struct Difference: Error, Hashable, Sendable, CustomStringConvertible {
    public var description: String
  }

  /// Those that were traced, one after the other.
  public private(set) var sessions = 0
  public private(set) var decisions = 0
  private var controller: TransferController?

  public init() {}

  /// - Throws: where the controller decides otherwise, or could not have been asked.
  public mutating func receive(_ line: TraceLine) throws(Difference) {
    if case .settings(let settings, .zero) = line {
      sessions += 1
      controller = TransferController(settings)
      return
    }
    guard var controller else { throw Difference(description: "no settings stand before it") }
    switch line {
    case .settings(let settings, _): controller.change(to: settings)
    case .hint(let hint, _): controller.receive(hint)
    case .decision(let observation, let written):
      let decision = controller.receive(observation)
      guard decision == written else {
        throw Difference(description: Self.differences(written, decision).joined(separator: ", "))
      }
      decisions += 1
    }
    self.controller = controller
  }

  private static func differences(_ written: Decision, _ made: Decision) -> [String] {
    let fields: [(String, (Decision) -> String)] = [
      ("chunk", { "\($0.settings.bytes)" }), ("codec", { "\($0.settings.encoding.codec)" }),
      ("level", { "\($0.settings.encoding.level)" }), ("in_flight", { "\($0.bytesInFlight)" }),
      ("set_congestion", { $0.congestion?.rawValue ?? "nothing" }), ("probe", { "\($0.probe)" }),
      ("reason", { "\"\(printable($0.reason.utf8))\"" }),
    ]
    return fields.filter { $1(written) != $1(made) }.map {
      "\($0) \($1(written)) was written and \($1(made)) is decided"
    }
  }
}
