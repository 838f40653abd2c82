public import StreamDiffCore

/// Decides for each operation of a round what becomes of it: what the caller wants left alone is withheld,
/// and the rest is put into an order in which a session that breaks off anywhere leaves every file at the
/// receiver as it was or as it is to be:
///
/// - a file's parts and pieces, then its record: the record switches it from old to new;
/// - deletions at the end of the round, when every value of it has been read: a source that cannot be read
///   or has changed deletes nothing.
public struct OperationSorter<Source: SyncSource> {
  /// What came of operations.
  public struct Sorted {
    /// To send now. `isDue`: it was planned just now; else it had waited here.
    public var now: [(operation: PlannedOperation, isDue: Bool)] = []
    /// To delete at the end of the round.
    public var deletions: [PlannedOperation] = []
    /// Not to be done.
    public var withheld = 0
  }

  private let source: Source
  private let options: SyncOptions
  private let isDirectory: Bool
  /// What this round deletes.
  private(set) var tally: DeletionGuard.Round

  /// A record whose content is still coming.
  private var record: PlannedOperation?
  /// The path whose record is deleted: what follows under it goes with it.
  private var deleted: [UInt8]?
  /// Its fate.
  private var isDeletedWithheld = false
  /// Directories to delete unless something beneath them stays; each lies in the one before.
  private var directories: [PlannedOperation] = []
  /// The last directory that was found to be free of a file of the source.
  private var freeDirectory: [UInt8] = []

  public init(_ source: Source, _ options: SyncOptions) {
    (self.source, self.options) = (source, options)
    isDirectory = options.kind == .directory
    tally = DeletionGuard.Round(isDirectory: isDirectory)
  }

  /// - Parameter operations: keys rise within a round.
  public mutating func sort(_ operations: [PlannedOperation]) throws -> Sorted {
    var sorted = Sorted()
    guard options.order == .contentFirst else {
      sorted.now = operations.map { ($0, true) }
      return sorted
    }
    for operation in operations {
      if isDirectory {
        try sort(operation, DirectoryKey.path(of: operation.key), into: &sorted)
      } else {
        sortPlain(operation, into: &sorted)
      }
    }
    return sorted
  }

  /// What still waits, at the end of a round.
  public mutating func finish() -> Sorted {
    var sorted = Sorted()
    release(&sorted)
    for directory in directories { hold(directory, isFile: false, into: &sorted) }
    directories = []
    return sorted
  }

  private mutating func sortPlain(_ operation: PlannedOperation, into sorted: inout Sorted) {
    guard operation.change == .delete else {
      if operation.expectation == .absent { tally.added += 1 }
      return sorted.now.append((operation, true))
    }
    tally.extra += 1
    if isUnwanted(operation.key) {
      sorted.withheld += 1
    } else {
      hold(operation, isFile: true, into: &sorted)
    }
  }

  private func isUnwanted(_ path: some Collection<UInt8>) -> Bool {
    options.deletions == .none || options.exclusions.contains(path)
  }

  private func hold(_ operation: PlannedOperation, into sorted: inout Sorted) {
    sorted.deletions.append(operation)
  }

  private mutating func hold(_ operation: PlannedOperation, isFile: Bool, into sorted: inout Sorted) {
    if options.deletions == .guarded { tally.delete(operation.key, isFile: isFile) }
    hold(operation, into: &sorted)
  }

  // MARK: Directories

  private mutating func sort(
    _ operation: PlannedOperation, _ path: ArraySlice<UInt8>, into sorted: inout Sorted
  ) throws {
    if let record, !DirectoryKey.path(of: record.key).elementsEqual(path) { release(&sorted) }
    let isRecord = DirectoryKey.isRecord(operation.key)
    if operation.change != .delete {
      guard isRecord else { return sorted.now.append((operation, true)) }
      if operation.expectation == .absent, !DirectoryKey.isDirectory(operation.key.dropLast()) {
        tally.added += 1
      }
      record = operation
      return
    }
    leaveDirectories(before: path, into: &sorted)
    if isRecord {
      try sortDeletedRecord(operation, Array(path), into: &sorted)
    } else if let deleted, path.elementsEqual(deleted) {
      if isDeletedWithheld { sorted.withheld += 1 } else { hold(operation, isFile: false, into: &sorted) }
    } else if options.exclusions.contains(path) {
      sorted.withheld += 1
    } else {
      hold(operation, into: &sorted)  // of a file that has new content, or of none
    }
  }

  private mutating func sortDeletedRecord(
    _ operation: PlannedOperation, _ path: [UInt8], into sorted: inout Sorted
  ) throws {
    let isFile = !DirectoryKey.isDirectory(path)
    if isFile { tally.extra += 1 }
    deleted = path
    isDeletedWithheld = isUnwanted(path)
    if isDeletedWithheld, isFile, try sourceHas(path + [UInt8(ascii: "/")]) {
      // A directory of the source takes its name.
      isDeletedWithheld = false
      return hold(operation, into: &sorted)
    }
    if isDeletedWithheld {
      sorted.withheld += 1
      try keepDirectories(of: path, into: &sorted)
    } else if !isFile, !options.exclusions.isEmpty {
      directories.append(operation)
    } else {
      hold(operation, isFile: isFile, into: &sorted)
    }
  }

  /// Something beneath these directories stays, and they with it.
  private mutating func keepDirectories(of path: [UInt8], into sorted: inout Sorted) throws {
    sorted.withheld += directories.count
    directories = []
    for slash in path.indices.reversed() where path[slash] == UInt8(ascii: "/") {
      if freeDirectory.starts(with: path[...slash]) { break }
      if try sourceHas(Array(path[..<slash])) {
        throw SyncFailure(
          .inTheWay,
          "\(printable(path)) is to stay in the keyspace, but the source has a file \(printable(path[..<slash])): "
            + "rename the one or delete the other")
      }
    }
    freeDirectory = path.lastIndex(of: UInt8(ascii: "/")).map { Array(path[...$0]) } ?? []
  }

  /// Directories that do not hold `path` hold nothing that stays: keys rise.
  private mutating func leaveDirectories(before path: ArraySlice<UInt8>, into sorted: inout Sorted) {
    while let last = directories.last, !path.starts(with: DirectoryKey.path(of: last.key)) {
      directories.removeLast()
      hold(last, isFile: false, into: &sorted)
    }
  }

  private mutating func release(_ sorted: inout Sorted) {
    if let record { sorted.now.append((record, false)) }
    record = nil
  }

  private func sourceHas(_ path: [UInt8]) throws -> Bool {
    let key = DirectoryKey.record(path)
    var records: [DigestRecord] = []
    try source.readRecords(from: key, to: key + [0], limit: 1, into: &records)
    return !records.isEmpty
  }
}
