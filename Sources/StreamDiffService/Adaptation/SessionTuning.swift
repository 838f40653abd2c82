public import StreamDiffCore
import Synchronization

/// The tunables of one session; they may change while it runs.
///
/// A sender follows `settings`, and its peer's wishes as far as they leave alone what was `given`. A receiver asks its
/// peer for `wishes`, in hints.
public final class SessionTuning: Sendable {
  private struct State {
    var settings: AdaptationSettings
    var given: Set<Tunable>
    var wishes: [Setting]
    var onChange: (@Sendable () -> Void)?
  }

  private let state: Mutex<State>

  /// - Parameters:
  ///   - given: what of the settings no receiver's wish overrules (`AdaptationSettings.adopting`).
  ///   - wishes: what a receiver asks its sender for.
  public init(
    _ settings: AdaptationSettings = AdaptationSettings(), given: Set<Tunable> = [], wishes: [Setting] = []
  ) {
    state = Mutex(State(settings: settings, given: given, wishes: wishes))
  }

  public var settings: AdaptationSettings { state.withLock { $0.settings } }

  /// What a sender's settings become by its receiver's wishes.
  func adopting(_ wishes: [Setting], refused: CongestionControl?) -> Adoption {
    state.withLock { $0.settings.adopting(wishes, given: $0.given, refused: refused) }
  }

  public var wishes: [Setting] { state.withLock { $0.wishes } }

  public func change(to settings: AdaptationSettings, given: Set<Tunable> = [], wishes: [Setting]) {
    let onChange = state.withLock { state in
      (state.settings, state.given, state.wishes) = (settings, given, wishes)
      return state.onChange
    }
    onChange?()
  }

  /// - Parameter body: called after each change, on any thread.
  func whenChanged(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.onChange = body } }
}
