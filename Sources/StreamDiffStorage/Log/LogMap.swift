import StreamDiffCore

/// Which record holds which entries, and what the log's terms are. Entries not yet written are no part
/// of it.
struct LogMap {
  /// A record with entries that still count.
  struct Location: Hashable {
    var first: LogIndex
    var count: UInt64
    var generation: UInt64
    var place: RecordPlace

    var end: LogIndex { first + count }
  }

  /// The first entry; one past the last when there is none.
  private(set) var firstIndex: LogIndex
  /// Term of the entry before `firstIndex`.
  private(set) var previousTerm: Term
  private(set) var locations: [Location] = []
  /// Where each run of equal terms begins.
  private var terms: [(first: LogIndex, term: Term)] = []

  init(firstIndex: LogIndex = LogIndex(1), previousTerm: Term = .zero) {
    self.firstIndex = firstIndex
    self.previousTerm = previousTerm
  }

  /// The index after the last entry.
  var endIndex: LogIndex { locations.last?.end ?? firstIndex }
  var lastTerm: Term { terms.last?.term ?? previousTerm }

  /// - Returns: `nil` before `firstIndex - 1` and from `endIndex` on.
  func term(at index: LogIndex) -> Term? {
    guard index < endIndex, index + 1 >= firstIndex else { return nil }
    return terms.last { $0.first <= index }?.term ?? previousTerm
  }

  /// Adds entry `endIndex`, which lies in the record at `place`.
  mutating func append(term: Term, generation: UInt64, place: RecordPlace) {
    let index = endIndex
    if terms.last?.term != term { terms.append((index, term)) }
    if let last = locations.last, last.generation == generation, last.place == place {
      locations[locations.count - 1].count += 1
    } else {
      locations.append(Location(first: index, count: 1, generation: generation, place: place))
    }
  }

  /// Removes entry `index` and all behind it. An index before the first leaves a log that begins there.
  mutating func truncate(from index: LogIndex, previousTerm term: Term) {
    if index <= firstIndex {
      self = LogMap(firstIndex: index, previousTerm: term)
      return
    }
    while let last = locations.last, last.end > index {
      if last.first >= index {
        locations.removeLast()
      } else {
        locations[locations.count - 1].count = index - last.first
      }
    }
    while let last = terms.last, last.first >= index { terms.removeLast() }
  }

  /// Whether no entry behind `index` lies in segments up to `generation`.
  func canDrop(_ generation: UInt64, through index: LogIndex) -> Bool {
    guard let last = locations.last(where: { $0.generation <= generation }) else { return true }
    return last.end <= index + 1
  }

  /// Forgets a prefix: the entries in segments up to `generation`.
  mutating func drop(through generation: UInt64) {
    guard let kept = locations.firstIndex(where: { $0.generation > generation }) else {
      self = LogMap(firstIndex: endIndex, previousTerm: lastTerm)
      return
    }
    let first = locations[kept].first
    previousTerm = first.rawValue > 0 ? term(at: LogIndex(first.rawValue - 1)) ?? previousTerm : .zero
    firstIndex = first
    locations.removeSubrange(..<kept)
    let run = terms.lastIndex { $0.first <= first } ?? 0
    terms.removeSubrange(..<run)
  }

  /// The record that holds entry `index`, which exists.
  func location(of index: LogIndex) -> Location {
    var (low, high) = (0, locations.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if locations[middle].first <= index { low = middle } else { high = middle }
    }
    return locations[low]
  }
}
