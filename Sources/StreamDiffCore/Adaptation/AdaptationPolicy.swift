/// Decides how a sender goes on: the one thing that `fixed`, `threshold` and `model` do differently.
///
/// The controller asks after every observation, in order. Time, link and bounds are arguments, and there is no
/// randomness: the same observations give the same decisions. What is outside `bounds` is brought inside by the
/// controller.
public protocol AdaptationPolicy: Sendable {
  mutating func decide(after observation: Observation, link: LinkEstimate, bounds: AdaptationBounds)
    -> Decision

  /// Other settings of the same policy hold from now on. What was learned stays.
  mutating func change(to settings: AdaptationSettings)
}
