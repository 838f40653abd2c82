import StreamDiffCore
import StreamDiffStorage

/// A replica's directory, locked for as long as a copy of this value lives.
///
///     LOCK     locked by the process that serves; otherwise empty
///     format   "streamdiff data N\n": the version of everything below
///     wal/     the log, see WriteAheadLog
///     state/   the state, see StateStore
///     tunables.conf   optional, the operator's: it may be here before anything else
struct DataDirectory: Sendable {
  static let formatVersion = 1
  private static let formatPrefix = "streamdiff data "
  static let tunablesName = "tunables.conf"

  /// What may stand in a directory that nobody has served yet: a lock, a start that was cut off, and what an operator
  /// has prepared.
  private static let preparations: Set = ["LOCK", "format.new", tunablesName]

  let path: String
  /// `nil` where it is only looked at and nobody ever served it.
  private let lock: (any FileLock)?

  var logPath: String { path + "/wal" }
  var statePath: String { path + "/state" }

  /// Creates what is missing, the log and the state not: each has its own say in that. A directory that holds something else is refused.
  /// - Throws: `.foreign`, `.locked`, `.newerFormat`, `.unwritable`, `.damaged`, each naming the path.
  init(_ path: String, fileSystem: any FileSystem) throws(StorageError) {
    let path = Self.withoutSlash(path)
    self.path = path
    try fileSystem.createDirectory(path)
    // Before a lock is left in a directory that is not ours.
    _ = try Self.hasFormat(path, fileSystem)
    lock = try fileSystem.lock(path + "/LOCK")
    try Self.settleFormat(path, fileSystem)
  }

  /// Looks at a directory and changes nothing.
  /// - Throws: `.foreign`, `.locked`, `.newerFormat`, or why it is none or cannot be read.
  init(inspecting path: String) throws(StorageError) {
    let files = PosixFileSystem()
    self.path = Self.withoutSlash(path)
    _ = try files.list(self.path)
    _ = try Self.hasFormat(self.path, files)
    lock = try files.lockExisting(self.path + "/LOCK")
    guard try Self.hasFormat(self.path, files) else {
      throw StorageError(.notFound, path: self.path, "is empty: nothing was served here")
    }
  }

  private static func withoutSlash(_ path: String) -> String {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    return path
  }

  /// A state without any log has lost entries that were acknowledged, also where the state never was flushed.
  /// - Throws: `.damaged`, naming the log's directory.
  func requireLog(_ fileSystem: any FileSystem) throws(StorageError) {
    guard try !fileSystem.names(in: statePath).isEmpty,
      try !fileSystem.names(in: logPath).contains(where: { $0.hasPrefix("log-") })
    else { return }
    throw StorageError(
      .damaged, path: logPath, "there is a state and no log: files are missing; restore them, or start empty")
  }

  /// The directory of the state, where the log lets one be made anew.
  /// - Throws: `.damaged`, naming it, and leaves its place free for what is to be put back.
  func settleState(beside demand: StateDemand, _ fileSystem: any FileSystem) throws(StorageError) {
    if demand.logBegins <= LogIndex(1) { return try fileSystem.createDirectory(statePath) }
    do throws(StorageError) {
      _ = try fileSystem.list(statePath)
    } catch  where error.code == .notFound {
      throw StorageError(
        .damaged, path: statePath,
        "this directory is missing, and the log begins at \(demand.logBegins.rawValue): put it back")
    }
  }

  private static func settleFormat(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    if try hasFormat(path, fileSystem) { return }
    try fileSystem.replaceFile(
      path + "/format", with: Array("\(formatPrefix)\(formatVersion)\n".utf8))
  }

  /// - Returns: `false` when there is nothing of ours yet.
  /// - Throws: `.foreign`, and when it names a format that this release cannot use.
  private static func hasFormat(
    _ path: String, _ fileSystem: any FileSystem
  ) throws(StorageError) -> Bool {
    let file = path + "/format"
    guard let bytes = try fileSystem.readFile(file, limit: 4096) else {
      let others = try fileSystem.list(path).filter { !preparations.contains($0) }.sorted()
      guard let first = others.first else { return false }
      guard !others.contains("wal"), !others.contains("state") else {
        throw StorageError(.damaged, path: file, "this file is missing: put it back")
      }
      throw StorageError(
        .foreign, path: path, "not a data directory: it holds \(printable(first.utf8)); choose an empty one")
    }
    let text = String(decoding: bytes, as: UTF8.self)
    guard text.hasPrefix(formatPrefix), text.hasSuffix("\n"),
      let version = Int(text.dropFirst(formatPrefix.count).dropLast())
    else {
      throw StorageError(.damaged, path: file, "does not say \"\(formatPrefix)N\"")
    }
    guard version <= formatVersion else {
      throw StorageError(
        .newerFormat, path: file,
        "data format \(version) is newer than \(formatVersion), which this release knows: use the one that wrote it"
      )
    }
    guard version >= 1 else { throw StorageError(.damaged, path: file, "data format \(version)") }
    return true
  }
}
