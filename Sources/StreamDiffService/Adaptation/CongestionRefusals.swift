import StreamDiffCore
import Synchronization

/// Tells what congestion control the system refuses, and why: once each, however many sessions want it.
public final class CongestionRefusals: Sendable {
  private struct Refusal: Hashable {
    var control: CongestionControl
    var reason: String
  }

  private let told = Mutex<Set<Refusal>>([])
  private let onRefusal: @Sendable (_ control: String, _ reason: String) -> Void

  /// - Parameter onRefusal: called on any thread.
  public init(_ onRefusal: @escaping @Sendable (_ control: String, _ reason: String) -> Void) {
    self.onRefusal = onRefusal
  }

  /// - Parameter reason: in the system's words.
  func tell(_ control: CongestionControl, _ reason: String) {
    guard told.withLock({ $0.insert(Refusal(control: control, reason: reason)).inserted }) else { return }
    onRefusal(control.rawValue, reason)
  }
}
