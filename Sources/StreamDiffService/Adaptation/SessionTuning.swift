public import StreamDiffCore
import Synchronization

/// The tunables of one session; they may change while it runs.
///
/// A sender follows `settings`. A receiver asks its peer for `wishes`, in hints.
public final class SessionTuning: Sendable {
  private struct State {
    var settings: AdaptationSettings
    var wishes: [Setting]
    var onChange: (@Sendable () -> Void)?
  }

  private let state: Mutex<State>

  /// - Parameter wishes: what a receiver asks its sender for.
  public init(_ settings: AdaptationSettings = AdaptationSettings(), wishes: [Setting] = []) {
    state = Mutex(State(settings: settings, wishes: wishes))
  }

  public var settings: AdaptationSettings { state.withLock { $0.settings } }
  public var wishes: [Setting] { state.withLock { $0.wishes } }

  public func change(to settings: AdaptationSettings, wishes: [Setting]) {
    let onChange = state.withLock { state in
      (state.settings, state.wishes) = (settings, wishes)
      return state.onChange
    }
    onChange?()
  }

  /// - Parameter body: called after each change, on any thread.
  func whenChanged(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onChange = body } }
}
