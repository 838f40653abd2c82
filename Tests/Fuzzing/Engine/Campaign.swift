import Simulator

/// Runs an entry point on inputs made from its seeds, and from what turned out to be interesting.
public struct Campaign {
  /// Inputs that showed something new; beyond so many, or so many bytes, one of them gives way.
  private static let keptInputs = 512
  private static let keptBytes = 4 << 20
  /// Observations told apart; beyond so many nothing counts as new.
  private static let keptObservations = 1 << 16

  private let entry: EntryPoint
  private var mutator: Mutator
  private var corpus: [[UInt8]]
  private let seeds: Int
  private var bytes = 0
  private var known: Set<UInt64> = []
  private var waiting: ArraySlice<[UInt8]>
  /// Different observations so far.
  public var observations: Int { known.count }

  /// - Parameter found: inputs beside the entry point's own seeds.
  public init(_ entry: EntryPoint, found: [[UInt8]] = [], seed: UInt64) {
    self.entry = entry
    mutator = Mutator(for: entry, seed: seed)
    corpus = entry.seeds() + found
    precondition(!corpus.isEmpty, "\(entry.name) has no seeds")
    seeds = corpus.count
    waiting = corpus[...]
  }

  /// The next input: the seeds as they are, then changed ones.
  public mutating func next() -> [UInt8] { waiting.popFirst() ?? mutator.next(from: corpus) }

  /// Takes note of what `next()` led to.
  public mutating func saw(_ observation: UInt64, of input: [UInt8]) {
    guard known.count < Self.keptObservations, known.insert(observation).inserted else { return }
    bytes += input.count
    let kept = corpus.count - seeds
    if kept == 0 || kept < Self.keptInputs && bytes <= Self.keptBytes { return corpus.append(input) }
    let place = seeds + mutator.random.below(kept)
    bytes -= corpus[place].count
    corpus[place] = input
  }
}
