import StreamDiffCore

/// Reads a log as a stopped machine left it, and makes it ready to go on.
struct LogRecovery {
  let directory: String
  let fileSystem: any FileSystem
  let scratch: ScratchBuffer
  /// Of one record.
  let maximumSectors: UInt32

  private(set) var segments: [SegmentFile] = []
  private var fold = LogFold()
  private(set) var tail = RecordPlace(number: 1, sector: SegmentFile.headerSectors, sectors: 0)
  private(set) var tornTail: TornTail?
  /// The last record of each segment.
  private var lastRecords: [RecordPlace?] = []

  var map: LogMap { fold.map }
  var hardState: HardState { fold.hardState }

  init(directory: String, fileSystem: any FileSystem, scratch: ScratchBuffer, maximumSectors: UInt32) {
    self.directory = directory
    self.fileSystem = fileSystem
    self.scratch = scratch
    self.maximumSectors = maximumSectors
  }

  /// - Parameter generations: of the segments in the directory, rising; at least one.
  mutating func run(_ generations: [UInt64]) throws(StorageError) {
    // A killed process may have left renamed and written what it had not synced. From here on it counts,
    // so it is synced before anything is built on it.
    try fileSystem.syncDirectory(directory, .recoveredDirectory)
    if let last = generations.last, last > SegmentFile.maximumGeneration {
      throw StorageError(
        .damaged, path: directory + "/" + SegmentFile.name(of: last), offset: 0, "no log has so many segments"
      )
    }
    for (index, generation) in generations.enumerated() {
      guard index == 0 || generation == generations[index - 1] + 1 else {
        throw SegmentFile.missing(generations[index - 1] + 1, in: directory)
      }
      try read(generation, isFirst: index == 0, isLast: index == generations.count - 1)
    }
    try makeDurable()
  }

  /// What is read here may be in memory alone, also where a sync of it failed: the kernel then takes for
  /// written what it could not write, and a later sync does not write it. So the records that may have
  /// been under way are written again, the last one and the seal of the segment before; and zeros over what
  /// a torn record may have left behind them.
  private func makeDurable() throws(StorageError) {
    for index in segments.indices.suffix(2) {
      let segment = segments[index]
      let isLast = index == segments.count - 1
      try segment.rewrite(
        lastRecords[index], from: tail.sector,
        zeros: isLast ? min(segment.header.sectors - tail.sector, maximumSectors) : 0, scratch: scratch)
      try segment.file.sync(.recoveredSegment)
    }
  }

  private mutating func read(_ generation: UInt64, isFirst: Bool, isLast: Bool) throws(StorageError) {
    let path = directory + "/" + SegmentFile.name(of: generation)
    let (segment, state) = try SegmentFile.open(
      path, generation: generation, in: fileSystem, scratch: scratch)
    let scan = try SegmentScan(segment, isLast: isLast, scratch: scratch)
    try fold.begin(segment, state, isFirst: isFirst)
    for place in scan.records {
      try segment.forEachItem(of: place, scratch: scratch) { (item, _) throws(StorageError) in
        try fold.take(item, at: place, in: segment)
      }
    }
    tail = RecordPlace(number: scan.nextRecord, sector: scan.end, sectors: 0)
    segments.append(segment)
    lastRecords.append(scan.records.last)
    if scan.tornSectors > 0 {
      tornTail = TornTail(
        path: path, offset: UInt64(scan.end) * UInt64(Sector.bytes),
        bytes: UInt64(scan.tornSectors) * UInt64(Sector.bytes))
    }
    try check(fold.seal, of: segment, isLast: isLast)
  }

  private func check(_ seal: UInt64?, of segment: SegmentFile, isLast: Bool) throws(StorageError) {
    try LogFold.check(seal, of: segment, isLast: isLast)
    guard !isLast, seal == nil else { return }
    // The machine stopped between the successor's birth and the seal.
    var buffer = RecordBuffer(bodyBytes: 256)
    try SegmentFile.seal(segment, at: tail, next: segment.generation + 1, buffer: &buffer)
  }
}
