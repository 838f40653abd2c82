private import DequeModule

/// The least or greatest of the values of the last `window`: a monotonic queue, so that each value is looked at twice
/// at most.
public struct WindowedExtremum<Value: Comparable & Sendable>: Sendable {
  private struct Sample {
    var time: Duration
    var value: Value
  }

  private let isBetter: @Sendable (Value, Value) -> Bool
  public var window: Duration
  /// Each worse than the one before.
  private var samples: Deque<Sample> = []

  public static func minimum(over window: Duration) -> Self { Self(window) { $0 < $1 } }
  public static func maximum(over window: Duration) -> Self { Self(window) { $0 > $1 } }

  private init(_ window: Duration, _ isBetter: @escaping @Sendable (Value, Value) -> Bool) {
    (self.window, self.isBetter) = (window, isBetter)
  }

  /// `nil` before the first value. The newest one stays however old it gets.
  public var value: Value? { samples.first?.value }

  /// - Parameter now: never before that of the call before.
  public mutating func add(_ value: Value, now: Duration) {
    while let last = samples.last, !isBetter(last.value, value) { samples.removeLast() }
    samples.append(Sample(time: now, value: value))
    expire(now: now)
  }

  public mutating func expire(now: Duration) {
    while samples.count > 1, let first = samples.first, now - first.time > window { samples.removeFirst() }
  }

  public mutating func reset() { samples.removeAll() }
}
