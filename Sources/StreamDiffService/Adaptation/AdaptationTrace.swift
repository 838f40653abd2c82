import StreamDiffCore
import Synchronization

/// Writes a session's observations and decisions as NDJSON: `TraceLine` says how a line is written.
public final class AdaptationTrace: Sendable {
  private let output: @Sendable (String) -> Void

  /// - Parameter output: takes each line, without its end; called from any task, in order.
  public init(_ output: @escaping @Sendable (String) -> Void) { self.output = output }

  func begin(_ settings: AdaptationSettings) { write(settings, at: .zero) }

  func write(_ settings: AdaptationSettings, at time: Duration) {
    output(TraceLine.settings(settings, time).text)
  }

  func write(_ hint: AdaptationHint, at time: Duration) { output(TraceLine.hint(hint, time).text) }

  func write(_ observation: Observation, _ decision: Decision) {
    output(TraceLine.decision(observation, decision).text)
  }
}
