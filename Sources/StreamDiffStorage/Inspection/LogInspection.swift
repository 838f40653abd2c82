public import StreamDiffCore

/// Reads a log without changing a byte, and finds everything that is not as it was written: the same
/// code as opening it, going on behind each damage.
public struct LogInspection {
  /// What the log holds, for comparison with the state.
  public struct Summary: Sendable {
    public var segments = 0
    /// The first entry; one past `lastIndex` when there is none.
    public var firstIndex = LogIndex(1)
    public var lastIndex = LogIndex.zero
    public var lastTerm = Term.zero
    public var hardState = HardState()
    /// Entries whose bytes are whole.
    public var entries: UInt64 = 0
    /// Whether all above is what the log says: no damage hid a part of it.
    public var isWhole = true
    fileprivate var map = LogMap()

    public init() {}

    /// - Returns: `nil` outside `firstIndex - 1 ... lastIndex`.
    public func term(at index: LogIndex) -> Term? { map.term(at: index) }
  }

  private let directory: String
  private let fileSystem: any FileSystem
  private let findings: Findings
  private let meter: InspectionMeter
  private let scratch = ScratchBuffer()
  private var fold = LogFold()
  private var summary = Summary()

  private init(
    _ directory: String, fileSystem: any FileSystem, findings: Findings, meter: InspectionMeter
  ) {
    self.directory = directory
    self.fileSystem = fileSystem
    self.findings = findings
    self.meter = meter
  }

  /// - Throws: `.newerFormat`, and what keeps the directory from being listed.
  public static func run(
    _ directory: String, fileSystem: any FileSystem = PosixFileSystem(), findings: Findings,
    meter: InspectionMeter
  ) throws(StorageError) -> Summary {
    var inspection = LogInspection(directory, fileSystem: fileSystem, findings: findings, meter: meter)
    try inspection.run()
    return inspection.summary
  }

  private mutating func run() throws(StorageError) {
    let names = try fileSystem.names(in: directory).sorted()
    let generations = names.compactMap { SegmentFile.generation(ofName: $0) }.sorted()
    for name in names {
      let size = (try? fileSystem.open(directory + "/" + name, .read).size()) ?? 0
      if SegmentFile.generation(ofName: name) != nil || SpareSegments.isSpare(name) { meter.expect(size) }
    }
    for (index, generation) in generations.enumerated() {
      if index > 0, generation != generations[index - 1] + 1 {
        damage(SegmentFile.missing(generations[index - 1] + 1, in: directory))
      }
      try inspect(generation, isFirst: index == 0, isLast: index == generations.count - 1)
    }
    summary.segments = generations.count
    if !generations.isEmpty {
      (summary.lastIndex, summary.lastTerm) = (LogIndex(fold.map.endIndex.rawValue - 1), fold.map.lastTerm)
      (summary.hardState, summary.map) = (fold.hardState, fold.map)
    }
    for name in names where SegmentFile.generation(ofName: name) == nil {
      let path = directory + "/" + name
      if SpareSegments.isSpare(name) {
        inspectSpare(path, below: min(generations.last ?? 0, SegmentFile.maximumGeneration) + 1)
      } else if SpareSegments.isUnfinished(name) {
        findings.add(Finding(.note, path: path, "a file that was being filled; the next start removes it"))
      } else {
        findings.add(Finding(.note, path: path, "no file of the log; it is left alone"))
      }
    }
  }

  private mutating func damage(_ error: StorageError) {
    findings.add(error)
    summary.isWhole = false
  }

  private mutating func inspect(
    _ generation: UInt64, isFirst: Bool, isLast: Bool
  ) throws(StorageError) {
    let path = directory + "/" + SegmentFile.name(of: generation)
    do throws(StorageError) {
      let (segment, state) = try SegmentFile.open(
        path, generation: generation, in: fileSystem, scratch: scratch, mode: .read)
      var reported: [StorageError] = []
      let scan = try SegmentScan(segment, isLast: isLast, scratch: scratch) { reported.append($0) }
      for error in reported { damage(error) }
      read(segment, state, scan, isFirst: isFirst, isLast: isLast, isWhole: reported.isEmpty)
      meter.advance(Int(segment.header.sectors) * Sector.bytes)
    } catch  where error.code != .newerFormat {
      damage(error)
    }
  }

  private mutating func read(
    _ segment: SegmentFile, _ state: HardState, _ scan: SegmentScan, isFirst: Bool, isLast: Bool,
    isWhole: Bool
  ) {
    do throws(StorageError) {
      try fold.begin(segment, state, isFirst: isFirst)
    } catch {
      // A gap behind damage that was named.
      if summary.isWhole { damage(error) }
    }
    if isFirst { summary.firstIndex = segment.header.firstIndex }
    for place in scan.records {
      do throws(StorageError) {
        var items: [(RecordItem, payload: [UInt8])] = []
        try segment.forEachItem(of: place, scratch: scratch) { (item, body) throws(StorageError) in
          if case .entry(_, _, let payload) = item {
            items.append((item, Array(body[payload])))
          } else {
            items.append((item, []))
          }
        }
        for (item, payload) in items { take(item, payload, at: place, in: segment) }
      } catch {
        damage(error)
      }
    }
    do throws(StorageError) { try LogFold.check(fold.seal, of: segment, isLast: isLast) } catch {
      damage(error)
    }
    if scan.tornSectors > 0 {
      findings.add(
        Finding(
          .note, path: segment.path, offset: UInt64(scan.end) * UInt64(Sector.bytes),
          "record \(scan.nextRecord) was under way when the process ended, and nobody was told of it; the next "
            + "start cuts it"))
    }
  }

  private mutating func take(
    _ item: RecordItem, _ payload: [UInt8], at place: RecordPlace, in segment: SegmentFile
  ) {
    do throws(StorageError) {
      try fold.take(item, at: place, in: segment)
    } catch {
      guard case .entry(let index, let term, _) = item, fold.seal == nil else { return damage(error) }
      if summary.isWhole { damage(error) }
      fold.skip(to: index, term: term, at: place, in: segment)
    }
    guard case .entry(let index, _, _) = item else { return }
    summary.entries += 1
    do {
      _ = try Command(decoding: payload)
    } catch {
      damage(segment.damaged(place.sector, "entry \(index.rawValue) holds no command: \(error.detail)"))
    }
  }

  /// A spare holds nothing: whatever is wrong with it is worth knowing, and no loss.
  private func inspectSpare(_ path: String, below generation: UInt64) {
    do throws(StorageError) {
      let damage = try SpareSegments.firstDamage(
        in: try fileSystem.open(path, .read), below: generation, scratch: scratch, advance: meter.advance)
      guard let damage else { return }
      findings.add(
        Finding(
          .note, path: path, offset: damage,
          "this spare is damaged here; nothing is lost, and the next start removes it"))
    } catch {
      findings.add(Finding(.note, path: path, offset: error.offset, error.detail))
    }
  }
}
