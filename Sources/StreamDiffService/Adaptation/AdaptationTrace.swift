import StreamDiffCore
import Synchronization

/// Writes a session's observations and decisions as NDJSON: `TraceLine` says how a line is written.
public final class AdaptationTrace: Sendable {
  private let output: @Sendable (String) -> Void

  /// - Parameter output: takes each line, without its end; called from any task, in order.
  public init(_ output: @escaping @Sendable (String) -> Void) { self.output = output }

  func begin(_ settings: AdaptationSettings) { write(settings, at: .zero) }

  func write(_ settings: AdaptationSettings, at time: Duration) { write(.settings(settings, time)) }

  func write(_ hint: AdaptationHint, at time: Duration) { write(.hint(hint, time)) }

  func write(_ observation: Observation, _ decision: Decision) { write(.decision(observation, decision)) }

  public func write(_ line: TraceLine) { output(line.text) }
}
