public import StreamDiffCore

/// The replica's log on disk: segment files of records, each record one group commit.
///
/// `append`, `save` and `truncate` gather; `sync` writes what they gathered with one call and makes it
/// durable with one sync. Reading sees all of it at once. Opening checks every byte of every segment:
/// a record that was under way when the machine stopped is cut and reported in `tornTail`, anything
/// else that is not as it was written is an error that names the file and the offset.
///
/// What the owner checks, since the log alone cannot: that `firstIndex` is not beyond the entry after
/// the last applied one, and that `lastIndex` is not below what is known to be committed.
///
/// After an error of `sync` the log stops: the kernel may have dropped what it could not write, so no
/// later success would mean anything. One thread at a time uses a log (hence unchecked: it moves to the
/// thread that owns it).
public final class WriteAheadLog: @unchecked Sendable {
  public static let defaultSegmentBytes = 64 << 20

  /// The most that one record's items take: what one write sends, and one read brings back.
  static let recordBytes = 4 << 20

  /// The first entry still here; one past `lastIndex` when there is none.
  public var firstIndex: LogIndex { map.firstIndex }
  /// The last entry, appended or durable; `firstIndex - 1` when there is none.
  public var lastIndex: LogIndex { LogIndex(endIndex.rawValue - 1) }
  public var lastTerm: Term { pending.last?.term ?? map.lastTerm }
  /// As last saved.
  public private(set) var hardState: HardState
  private var durableState: HardState
  /// What opening had to cut, if anything.
  public let tornTail: TornTail?
  /// Bytes that records occupy, from the first segment kept on.
  public var retainedBytes: UInt64 {
    segments.dropLast().reduce(UInt64(tail.sector) * UInt64(Sector.bytes)) {
      $0 + UInt64($1.header.sectors) * UInt64(Sector.bytes)
    }
  }

  private let directory: String
  private let fileSystem: any FileSystem
  private let segmentBytes: Int
  private let spares: SpareSegments
  private let scratch = ScratchBuffer()
  private let itemLimit: Int

  /// Oldest first; the last is written to. Never empty.
  private var segments: [SegmentFile]
  private var map: LogMap
  /// Where the next record goes in the last segment.
  private var tail: RecordPlace

  private var buffer: RecordBuffer
  private var pending: [LogEntry] = []
  private var pendingBytes = 0
  private var pendingTruncation: (from: LogIndex, previousTerm: Term)?
  private var hasPendingState = false
  private var failure: StorageError?
  /// The record read last: readers go through the log in small steps.
  private var cached: (place: RecordPlace, generation: UInt64, entries: [LogEntry])?

  /// Opens the log in `directory`, creating both when missing.
  /// - Parameters:
  ///   - segmentBytes: size of new segments, a multiple of 4096. The first of a new log is smaller, so
  ///     that starting does not wait for zeros.
  ///   - preparesSpares: whether a thread fills spare segments ahead. Without, `prepareSpares` does on the
  ///     caller's; a new segment without a spare is allocated when it is needed: right, and slower to sync.
  public init(
    opening directory: String, fileSystem: any FileSystem = PosixFileSystem(),
    segmentBytes: Int = defaultSegmentBytes, preparesSpares: Bool = true
  ) throws(StorageError) {
    precondition(segmentBytes % 4096 == 0 && segmentBytes >= 8192, "segments of \(segmentBytes) bytes")
    self.directory = directory
    self.fileSystem = fileSystem
    self.segmentBytes = segmentBytes
    let firstSegmentBytes = min(segmentBytes, Self.defaultSegmentBytes / 8)
    // What an empty segment takes, less the sector of its seal.
    let sectors = firstSegmentBytes / Sector.bytes - Sector.perPage - 1
    itemLimit = min(Self.recordBytes, sectors * Sector.payloadBytes - RecordItem.recordHeadBytes)
    buffer = RecordBuffer(bodyBytes: itemLimit)

    try fileSystem.createDirectory(directory)
    let names = try fileSystem.list(directory)
    let found = names.compactMap { SegmentFile.generation(ofName: $0) }.sorted()
    spares = try SpareSegments(
      adopting: names, lastGeneration: found.last, in: directory, fileSystem: fileSystem,
      segmentBytes: segmentBytes, hasThread: preparesSpares)
    if found.isEmpty {
      let header = SegmentHeader(
        sectors: UInt32(firstSegmentBytes / Sector.bytes), firstIndex: LogIndex(1), previousTerm: .zero)
      let path = directory + "/filling-first"
      try SpareSegments.fill(path, bytes: firstSegmentBytes, in: fileSystem)
      let segment = try SegmentFile.activate(
        path, generation: 1, header: header, state: HardState(), in: directory, of: fileSystem,
        buffer: &buffer)
      segments = [segment]
      map = LogMap()
      (hardState, durableState) = (HardState(), HardState())
      tail = RecordPlace(number: 1, sector: SegmentFile.headerSectors, sectors: 0)
      tornTail = nil
    } else {
      var recovery = LogRecovery(
        directory: directory, fileSystem: fileSystem, scratch: scratch,
        maximumSectors: UInt32(RecordBuffer.sectors(forBody: Self.recordBytes) + Sector.perPage))
      try recovery.run(found)
      (segments, map) = (recovery.segments, recovery.map)
      (hardState, durableState) = (recovery.hardState, recovery.hardState)
      (tail, tornTail) = (recovery.tail, recovery.tornTail)
    }
    if preparesSpares { spares.prepare() }
  }

  deinit { spares.close() }

  /// Ends the background work and refuses all further calls. What was not synced is forgotten.
  public func close() {
    spares.close()
    failure = failure ?? StorageError(.closed, path: directory, "the log was closed")
  }

  /// Asks for spare segments to be filled in the background. For quiet moments: filling costs disk
  /// bandwidth, and a segment without a spare is allocated in no time.
  public func prepareSpares() { spares.prepare() }

  // MARK: Writing

  /// Adds entries behind the last. Durable after `sync`; a record that is full is written at once.
  public func append(_ entries: [LogEntry]) throws(StorageError) {
    try checkUsable()
    for entry in entries {
      precondition(
        entry.index == endIndex, "entry \(entry.index.rawValue) appended after \(lastIndex.rawValue)")
      precondition(entry.term >= lastTerm, "term \(entry.term.rawValue) after \(lastTerm.rawValue)")
      let bytes = RecordItem.entryHeadBytes + entry.payload.count
      let fixed = RecordItem.hardStateBytes + RecordItem.truncationBytes
      guard bytes + fixed <= itemLimit else {
        throw StorageError(
          .tooLarge, path: directory,
          "entry of \(entry.payload.count) bytes, a record takes \(itemLimit - fixed - RecordItem.entryHeadBytes)"
        )
      }
      if pendingBytes + bytes + fixed > itemLimit { try sync() }
      pending.append(entry)
      pendingBytes += bytes
    }
  }

  /// Replaces the hard state. Durable after `sync`.
  public func save(_ state: HardState) throws(StorageError) {
    try checkUsable()
    hardState = state
    hasPendingState = state != durableState
  }

  /// Removes entry `index` and all behind it, for the entries of a newer leader. Durable after `sync`.
  /// - Parameter index: not before `firstIndex`. Past the end: nothing happens.
  public func truncate(from index: LogIndex) throws(StorageError) {
    try checkUsable()
    precondition(index >= firstIndex, "truncation at \(index.rawValue), before \(firstIndex.rawValue)")
    guard index < endIndex else { return }
    if index >= map.endIndex {
      pending.removeLast(Int(endIndex - index))
    } else {
      pending.removeAll()
      let previousTerm = map.term(at: LogIndex(index.rawValue - 1)) ?? .zero
      map.truncate(from: index, previousTerm: previousTerm)
      pendingTruncation = (index, previousTerm)
      cached = nil
    }
    pendingBytes = pending.reduce(0) { $0 + RecordItem.entryHeadBytes + $1.payload.count }
  }

  /// Makes everything gathered durable: one write and one sync per record, and one record unless more
  /// than 4 MiB were gathered. Nothing gathered: nothing is done.
  public func sync() throws(StorageError) {
    try checkUsable()
    guard !pending.isEmpty || hasPendingState || pendingTruncation != nil else { return }
    do {
      try writeRecord()
    } catch {
      throw stopped(by: error)
    }
  }

  /// Forgets entries up to `index`, as far as they fill whole segments. Call it when what they did is
  /// durable elsewhere. The files become spares.
  public func drop(through index: LogIndex) throws(StorageError) {
    try checkUsable()
    while segments.count > 1, let oldest = segments.first {
      guard map.canDrop(oldest.generation, through: index) else { return }
      do {
        map.drop(through: oldest.generation)
        segments.removeFirst()
        try spares.recycle(oldest.path, size: UInt64(oldest.header.sectors) * UInt64(Sector.bytes))
        // One by one: a gap in the generations would be a missing segment.
        try fileSystem.syncDirectory(directory, .logSegmentDropped)
      } catch {
        throw stopped(by: error)
      }
    }
  }

  private var endIndex: LogIndex { map.endIndex + UInt64(pending.count) }

  private func checkUsable() throws(StorageError) {
    if let failure { throw failure }
    // A disk that cannot sync a spare does not sync.
    if let error = spares.failure { throw stopped(by: error) }
  }

  /// For good: the kernel forgets what it could not write, so that no later success would mean anything.
  private func stopped(by error: StorageError) -> StorageError {
    failure = StorageError(.closed, path: directory, "the log stopped after: \(error)")
    return error
  }

  private func writeRecord() throws(StorageError) {
    if let truncation = pendingTruncation {
      buffer.append(truncationFrom: truncation.from, previousTerm: truncation.previousTerm)
    }
    for entry in pending { buffer.append(entry) }
    if hasPendingState { buffer.append(hardState) }

    let sectors = UInt32(buffer.sectors)
    if tail.sector + sectors >= active.header.sectors {
      try startSegment(for: sectors)
    }
    let segment = active
    let place = RecordPlace(number: tail.number, sector: tail.sector, sectors: sectors)
    try write(place, to: segment)
    for entry in pending { map.append(term: entry.term, generation: segment.generation, place: place) }
    pending.removeAll(keepingCapacity: true)
    (pendingBytes, pendingTruncation, hasPendingState) = (0, nil, false)
    durableState = hardState
  }

  private var active: SegmentFile { segments[segments.count - 1] }

  /// Writes what `buffer` holds at `place`, makes it durable and moves the tail behind it.
  private func write(_ place: RecordPlace, to segment: SegmentFile) throws(StorageError) {
    let offset = UInt64(place.sector) * UInt64(Sector.bytes)
    try buffer.finish(at: place.sector, generation: segment.generation, record: place.number) {
      (bytes) throws(StorageError) in try segment.file.write(bytes, at: offset, .logRecordWrite)
    }
    try segment.file.sync(.logRecord)
    tail = RecordPlace(number: place.number + 1, sector: place.sector + place.sectors, sectors: 0)
  }

  /// Goes on in a new segment; the record in `buffer` is for it. The successor is durable before the
  /// seal that promises it.
  private func startSegment(for sectors: UInt32) throws(StorageError) {
    let generation = active.generation + 1
    var path = spares.take()
    if path == nil {
      let allocated = directory + "/filling-" + String(generation, radix: 16) + "-now"
      try fileSystem.open(allocated, .replace(.logSegmentCreate)).allocate(
        UInt64(segmentBytes), .logSegmentAllocate)
      path = allocated
    }
    let header = SegmentHeader(
      sectors: UInt32(segmentBytes / Sector.bytes), firstIndex: map.endIndex, previousTerm: map.lastTerm)
    var small = RecordBuffer(bodyBytes: 256)
    let next = try SegmentFile.activate(
      path ?? "", generation: generation, header: header, state: durableState, in: directory, of: fileSystem,
      buffer: &small)
    try SegmentFile.seal(active, at: tail, next: generation, buffer: &small)
    segments.append(next)
    tail = RecordPlace(number: 1, sector: SegmentFile.headerSectors, sectors: 0)
  }
}

// MARK: Reading

extension WriteAheadLog {
  /// - Returns: `nil` outside `firstIndex - 1 ... lastIndex`.
  public func term(at index: LogIndex) -> Term? {
    if index >= map.endIndex {
      return index < endIndex ? pending[Int(index - map.endIndex)].term : nil
    }
    return map.term(at: index)
  }

  /// Reads entries, checked against their checksums.
  /// - Parameters:
  ///   - range: within `firstIndex ..< lastIndex + 1`.
  ///   - maximumBytes: payload bytes to stop before; one entry comes in any case.
  /// - Returns: a prefix of the range, not empty unless the range is.
  public func entries(_ range: Range<LogIndex>, maximumBytes: Int) throws(StorageError) -> [LogEntry] {
    precondition(
      range.isEmpty || (range.lowerBound >= firstIndex && range.upperBound <= endIndex),
      "entries \(range) of a log with \(firstIndex.rawValue) to \(lastIndex.rawValue)")
    if let failure, failure.code == .closed { throw failure }
    var result: [LogEntry] = []
    var bytes = 0
    var next = range.lowerBound
    while next < range.upperBound {
      let run = try run(from: next)
      for entry in run {
        guard entry.index < range.upperBound else { return result }
        guard result.isEmpty || bytes + entry.payload.count <= maximumBytes else { return result }
        result.append(entry)
        bytes += entry.payload.count
      }
      next = next + UInt64(run.count)
    }
    return result
  }

  /// The entries from `index` on that lie together: in one record, or not yet written.
  private func run(from index: LogIndex) throws(StorageError) -> ArraySlice<LogEntry> {
    guard index < map.endIndex else { return pending[Int(index - map.endIndex)...] }
    let location = map.location(of: index)
    let entries: [LogEntry]
    if let cached, cached.place == location.place, cached.generation == location.generation {
      entries = cached.entries
    } else {
      entries = try read(location)
      cached = (location.place, location.generation, entries)
    }
    return entries[Int(index - location.first)..<Int(location.count)]
  }

  private func read(_ location: LogMap.Location) throws(StorageError) -> [LogEntry] {
    guard let segment = segments.first(where: { $0.generation == location.generation }) else {
      preconditionFailure("no segment \(location.generation)")
    }
    var entries: [LogEntry] = []
    try segment.forEachItem(of: location.place, scratch: scratch) { (item, body) throws(StorageError) in
      guard case .entry(let index, let term, let payload) = item else { return }
      entries.append(LogEntry(index: index, term: term, payload: Array(body[payload])))
    }
    guard entries.first?.index == location.first, entries.count >= location.count else {
      throw segment.damaged(location.place.sector, "record \(location.place.number) holds other entries")
    }
    return entries
  }
}
