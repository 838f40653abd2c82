public import StreamDiffCore

/// Reads a state without changing a byte, and finds everything that is damaged or does not agree.
public enum StateInspection {
  /// What the state holds, for comparison with the log and for people.
  public struct Summary: Sendable {
    public struct Keyspace: Sendable {
      public var record: KeyspaceRecord
      /// `nil` when its records could not all be read.
      public var position: KeyspacePosition?
    }

    /// `nil` when nothing was applied before the last flush, or the record cannot be read.
    public var applied: LogIndex?
    public var appliedTerm: Term?
    /// Whether all system records could be read.
    public var isSystemWhole = true
    public var keyspaces: [Keyspace] = []
    /// Files of sorted records, and their bytes.
    public var files = 0
    public var fileBytes: UInt64 = 0

    public init() {}
  }

  /// Blocks in memory; each is read once.
  private static let cacheBytes = 16 << 20

  /// - Returns: `nil` when the state cannot be opened; then the findings say why.
  /// - Throws: `.newerFormat`.
  public static func run(
    _ directory: String, findings: Findings, meter: InspectionMeter
  ) throws(StorageError) -> Summary? {
    let files = EngineFiles(directory: directory, fileSystem: PosixFileSystem(), findings: findings)
    guard try !files.isUnborn() else {
      findings.add(
        Finding(.note, path: directory, "a start ended before there was a state; the next makes one"))
      return Summary()
    }
    guard try files.inspect() else { return nil }
    let database: Database
    do throws(StorageError) {
      database = try Database(
        opening: directory,
        Database.Configuration(writeBufferBytes: 1 << 20, cacheBytes: cacheBytes), .readOnly)
    } catch {
      findings.addOnce(error.located)
      // Which files count is not known: look at all of them, for the one that is to blame.
      let names = try files.fileSystem.list(directory)
      try files.inspect(tables: Set(names))
      return nil
    }
    var summary = Summary()
    let live = database.liveFiles
    (summary.files, summary.fileBytes) = (live.count, live.reduce(0) { $0 + $1.bytes })
    try files.inspect(tables: Set(live.map(\.name)))
    try run(on: database, &summary, findings: findings, meter: meter)
    return summary
  }

  /// Everything that any engine holds.
  package static func run(
    on engine: any StateEngine, _ summary: inout Summary, findings: Findings, meter: InspectionMeter
  ) throws(StorageError) {
    let reads = engine.latest
    try readSystem(reads, &summary, findings)
    for keyspace in summary.keyspaces.indices {
      let inspection = KeyspaceInspection(
        reads, summary.keyspaces[keyspace].record, findings: findings, meter: meter)
      summary.keyspaces[keyspace].position = inspection.run()
    }
    findStrangers(reads, known: Set(summary.keyspaces.map(\.record.id)), findings)
  }

  // MARK: System records

  private static func readSystem(
    _ reads: any EngineReads, _ summary: inout Summary, _ findings: Findings
  ) throws(StorageError) {
    func damage(_ detail: String) {
      findings.add(Finding(.damage, path: reads.path, detail))
      summary.isSystemWhole = false
    }
    let iterator = reads.iterator()
    var hasFormat = false
    var (sessions, uses, table) = (0, 0, SessionTable())
    [StoreKey.systemArea].withBytes { iterator.seek($0) }
    while iterator.isValid, iterator.key.first == StoreKey.systemArea {
      let (key, value) = (Array(iterator.key), Array(iterator.value))
      let read = value.withBytes { SystemRecord(key: key, $0) }
      switch read {
      case .format(let format):
        hasFormat = true
        guard format <= StoreKey.currentFormat else { throw StateStore.newerFormat(format, reads.path) }
        if format == 0 { damage("the record of the state's format says 0") }
      case .applied(let index, let term): (summary.applied, summary.appliedTerm) = (index, term)
      case .keyspace(let record):
        if summary.keyspaces.contains(where: { $0.record.id == record.id }) {
          damage("keyspace \(record.name) has the number \(record.id), which is not its own")
        }
        summary.keyspaces.append(Summary.Keyspace(record: record, position: nil))
      case .sessionTable(let read): table = read
      case .session: sessions += 1
      case .sessionUse: uses += 1
      case nil: damage("system record \(hex(key)) holds \(hex(value)), which is none of ours")
      }
      iterator.next()
    }
    do throws(StorageError) {
      try iterator.check()
      if sessions != table.records || uses != table.records {
        damage("\(table.records) sessions are counted; there are \(sessions) records and \(uses) uses")
      }
      // A state that was never flushed has nothing at all.
      let isEmpty = summary.files == 0 && summary.applied == nil && summary.keyspaces.isEmpty
      if !hasFormat, !isEmpty { damage("there is no record of the state's format") }
      if summary.applied == nil, !summary.keyspaces.isEmpty {
        damage("there is no record of the applied index")
      }
    } catch {
      summary.isSystemWhole = false
      findings.addOnce(error.located)
    }
  }

  /// Records outside the areas of the keyspaces there are.
  private static func findStrangers(_ reads: any EngineReads, known: Set<UInt32>, _ findings: Findings) {
    let iterator = reads.iterator()
    var next: [UInt8] = [0]
    while true {
      next.withBytes { iterator.seek($0) }
      guard iterator.isValid else { break }
      let key = Array(iterator.key.prefix(256))
      if key[0] == StoreKey.systemArea {
        next = [StoreKey.systemArea + 1]
        continue
      }
      let id: UInt32? =
        key.dropFirst().prefix(4).count == 4 ? key[1..<5].reduce(0) { $0 << 8 | UInt32($1) } : nil
      if StoreKey.Area(rawValue: key[0]) != nil, let id, known.contains(id), id < .max {
        // All of it was read with its keyspace.
        next = [key[0]] + StoredInteger.bigEndian(id + 1)
        continue
      }
      findings.add(
        Finding(.damage, path: reads.path, "record \(hex(key)) belongs to no keyspace there is"))
      next = Array(iterator.key) + [0]
    }
    do throws(StorageError) { try iterator.check() } catch { findings.addOnce(error.located) }
  }

  private static func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    let hex = bytes.prefix(64).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return "\(String(decoding: hex, as: UTF8.self))\(bytes.count > 64 ? "…" : "") (hex)"
  }
}
