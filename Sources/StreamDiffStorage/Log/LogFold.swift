import StreamDiffCore

/// What the items of a log amount to, taken one after the other, and the rules between them.
struct LogFold {
  private(set) var map = LogMap()
  private(set) var hardState = HardState()
  /// The generation that the segment under way names as its successor, once it does.
  private(set) var seal: UInt64?

  /// Begins a segment.
  /// - Parameter state: as it was when the segment began.
  mutating func begin(
    _ segment: SegmentFile, _ state: HardState, isFirst: Bool
  ) throws(StorageError) {
    let header = segment.header
    (hardState, seal) = (state, nil)
    if isFirst {
      map = LogMap(firstIndex: header.firstIndex, previousTerm: header.previousTerm)
    } else if header.firstIndex < map.endIndex {
      map.truncate(from: header.firstIndex, previousTerm: header.previousTerm)
    } else if header.firstIndex > map.endIndex {
      throw segment.damaged(
        0, "segment begins with entry \(header.firstIndex.rawValue), expected \(map.endIndex.rawValue)")
    }
  }

  mutating func take(
    _ item: RecordItem, at place: RecordPlace, in segment: SegmentFile
  ) throws(StorageError) {
    guard seal == nil else { throw segment.damaged(place.sector, "record behind the seal") }
    switch item {
    case .entry(let index, let term, _):
      guard index == map.endIndex, term >= map.lastTerm else {
        throw segment.damaged(
          place.sector, "entry \(index.rawValue) stands where \(map.endIndex.rawValue) was expected")
      }
      map.append(term: term, generation: segment.generation, place: place)
    case .hardState(let state): hardState = state
    case .truncation(let from, let previousTerm): map.truncate(from: from, previousTerm: previousTerm)
    case .seal(let next): seal = next
    case .header: throw segment.damaged(place.sector, "header within the segment")
    }
  }

  /// Goes on with an entry behind a gap.
  mutating func skip(to index: LogIndex, term: Term, at place: RecordPlace, in segment: SegmentFile) {
    map = LogMap(firstIndex: index, previousTerm: term)
    map.append(term: term, generation: segment.generation, place: place)
  }

  /// A segment's successor must be the one that its seal names, and be there.
  static func check(_ seal: UInt64?, of segment: SegmentFile, isLast: Bool) throws(StorageError) {
    let next = segment.generation + 1
    guard let seal else { return }
    guard seal == next else { throw segment.damaged(0, "segment is followed by \(seal), not \(next)") }
    guard !isLast else {
      let directory = segment.path.dropLast(SegmentFile.name(of: next).utf8.count + 1)
      throw SegmentFile.missing(
        next, in: String(directory), "this segment of the log is missing; the one before it is sealed")
    }
  }
}

extension SegmentFile {
  static func missing(
    _ generation: UInt64, in directory: String,
    _ detail: String = "this segment of the log is missing; later ones exist"
  ) -> StorageError {
    StorageError(.damaged, path: directory + "/" + name(of: generation), offset: 0, detail)
  }
}
