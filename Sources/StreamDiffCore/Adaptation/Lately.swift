/// What comes to so much a second, lately: half of it is of the last half second, or of what `memory` says.
struct Lately: Sendable {
  /// Seconds.
  private let memory: Double
  private(set) var value = 0.0
  private var known = 0.0

  init(memory: Double = 0.5) { self.memory = memory }

  var isKnown: Bool { known > 0.5 }

  mutating func add(_ amount: Double, over length: Duration) {
    let seconds = length.seconds
    guard seconds > 0 else { return }
    let weight = known > 0 ? seconds / (seconds + min(known, memory)) : 1
    value += (amount / seconds - value) * weight
    known += seconds
  }

  mutating func add(_ time: Duration, over length: Duration) { add(time.seconds, over: length) }
}
