import Glibc

/// What determines a run: the same seed, the same run.
public struct Seed: Hashable, Sendable, CustomStringConvertible {
  public let number: UInt64
  public init(_ number: UInt64) { self.number = number }
  public var description: String { "\(number)" }

  /// One seed by `STREAMDIFF_SEED=N`, `STREAMDIFF_SEEDS=N` many, or `count` of them.
  public static func chosen(count: Int) -> [Seed] {
    if let one = value("STREAMDIFF_SEED") { return [Seed(one)] }
    return (0..<(value("STREAMDIFF_SEEDS") ?? UInt64(count))).map { Seed($0) }
  }

  /// What to type for one run again.
  public func replay(_ suite: String) -> String {
    "replay: STREAMDIFF_SEED=\(number) swift test --filter \(suite)"
  }

  private static func value(_ name: String) -> UInt64? {
    getenv(name).flatMap { UInt64(String(cString: $0)) }
  }
}
