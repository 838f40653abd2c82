public import StreamDiffCore
import StreamDiffStorage

/// `streamdiff check`: reads a whole data directory that nobody serves and changes no byte of it.
public enum DirectoryCheck {
  /// How far it is, in bytes; read it from anywhere.
  public struct Meter: Sendable {
    fileprivate let inspection = InspectionMeter()

    public init() {}
    public var done: UInt64 { inspection.done }
    /// Grows as the check comes to know what there is.
    public var total: UInt64 { inspection.total }
  }

  /// - Throws: `ClientFailure`: `.refused` for a directory in use or of a newer format, `.failed` for one
  ///   that cannot be read at all. What is damaged in it is not thrown but found.
  public static func run(_ path: String, meter: Meter = Meter()) async throws(ClientFailure) -> CheckReport {
    do {
      return try await AdapterThreads.run { () throws(StorageError) in
        var reading = DirectoryReading(meter: meter.inspection)
        try reading.run(path)
        return CheckReport(reading)
      }
    } catch {
      throw ClientFailure(error)
    }
  }
}

/// The work itself.
private struct DirectoryReading {
  let findings = Findings()
  let meter: InspectionMeter
  var log = LogInspection.Summary()
  var state: StateInspection.Summary?

  mutating func run(_ path: String) throws(StorageError) {
    let directory: DataDirectory
    do throws(StorageError) {
      directory = try DataDirectory(inspecting: path)
    } catch  where error.code == .damaged {
      return findings.add(Finding(error))
    }
    try read(directory)
    withExtendedLifetime(directory) {}
  }

  private mutating func read(_ directory: DataDirectory) throws(StorageError) {
    let files = PosixFileSystem()
    do throws(StorageError) {
      log = try LogInspection.run(directory.logPath, findings: findings, meter: meter)
      try directory.requireLog(files)
    } catch  where error.code != .newerFormat {
      findings.add(Finding(error))
      log.isWhole = false
    }
    do throws(StorageError) {
      if try files.names(in: directory.statePath).isEmpty {
        // A start that got no further: the log alone counts.
        state = StateInspection.Summary()
      } else {
        state = try StateInspection.run(directory.statePath, findings: findings, meter: meter)
      }
    } catch  where error.code != .newerFormat {
      findings.add(Finding(error))
    }
    if log.isWhole, log.segments > 0, let state, state.isSystemWhole {
      compare(state, directory)
    }
  }

  private func compare(_ state: StateInspection.Summary, _ directory: DataDirectory) {
    func damage(_ detail: String) {
      findings.add(Finding(StorageError(.damaged, path: directory.logPath, detail)))
    }
    let applied = state.applied ?? .zero
    let misfit = LogFit.misfit(
      applied: applied, firstIndex: log.firstIndex, lastIndex: log.lastIndex, lastTerm: log.lastTerm,
      hardState: log.hardState)
    if let misfit { damage(misfit) }
    guard misfit == nil, let term = log.term(at: applied), let stored = state.appliedTerm, term != stored
    else {
      return
    }
    damage(
      "entry \(applied.rawValue) is of term \(term.rawValue), but the state says it applied one of "
        + "\(stored.rawValue)")
  }
}

/// What a check found, for people and programs.
public struct CheckReport: Sendable {
  public struct Finding: Sendable {
    public let path: String?
    /// Byte offset in `path`.
    public let offset: UInt64?
    /// Where it is an entry or a Merkle leaf.
    public let keyspace: String?
    public let key: [UInt8]?
    public let detail: String
  }

  public struct Keyspace: Sendable {
    public let record: KeyspaceRecord
    /// `nil` when its records could not all be read.
    public let position: KeyspacePosition?
  }

  public struct Log: Sendable {
    public let segments: Int
    /// `nil` when there is no entry.
    public let indices: ClosedRange<UInt64>?
    /// Entries whose bytes are whole.
    public let entries: UInt64
    public let term: UInt64
    public let commit: UInt64
  }

  public struct State: Sendable {
    public let applied: UInt64
    /// Files of sorted records, and their bytes.
    public let files: Int
    public let fileBytes: UInt64
    public let keyspaces: [Keyspace]
  }

  /// The first ones of all that were found.
  public let damages: [Finding]
  public let damageCount: Int
  /// What is worth knowing and not wrong, as a killed process leaves it.
  public let notes: [Finding]
  public let noteCount: Int
  public let log: Log
  /// `nil` when it could not be opened.
  public let state: State?

  public var isSound: Bool { damageCount == 0 }

  fileprivate init(_ reading: DirectoryReading) {
    func copy(_ finding: StreamDiffStorage.Finding) -> Finding {
      Finding(
        path: finding.path, offset: finding.offset, keyspace: finding.keyspace, key: finding.key,
        detail: finding.detail)
    }
    let findings = reading.findings
    damages = findings.damages.map(copy)
    damageCount = findings.damageCount
    notes = findings.notes.map(copy)
    noteCount = findings.noteCount
    let read = reading.log
    log = Log(
      segments: read.segments,
      indices: read.lastIndex < read.firstIndex ? nil : read.firstIndex.rawValue...read.lastIndex.rawValue,
      entries: read.entries, term: read.hardState.term.rawValue, commit: read.hardState.commit.rawValue)
    state = reading.state.map { state in
      State(
        applied: state.applied?.rawValue ?? 0, files: state.files, fileBytes: state.fileBytes,
        keyspaces: state.keyspaces.map { Keyspace(record: $0.record, position: $0.position) })
    }
  }
}
