import StreamDiffStorage

/// A replica's directory, locked for as long as a copy of this value lives.
///
///     LOCK     locked by the process that serves; otherwise empty
///     format   "streamdiff data N\n": the version of everything below
///     wal/     the log, see WriteAheadLog
///     state/   the state, see StateStore
struct DataDirectory: Sendable {
  static let formatVersion = 1
  private static let formatPrefix = "streamdiff data "

  let path: String
  private let lock: any FileLock

  var logPath: String { path + "/wal" }
  var statePath: String { path + "/state" }

  /// Creates what is missing. A directory that holds something else is refused.
  /// - Throws: `.locked`, `.newerFormat`, `.unwritable`, `.damaged`, each naming the path.
  init(_ path: String, fileSystem: any FileSystem) throws(StorageError) {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    self.path = path
    try fileSystem.createDirectory(path)
    lock = try fileSystem.lock(path + "/LOCK")
    try Self.settleFormat(path, fileSystem)
    try fileSystem.createDirectory(logPath)
    try fileSystem.createDirectory(statePath)
  }

  /// A state without any log has lost entries that were acknowledged, also where the state never was flushed.
  /// - Throws: `.damaged`, naming the log's directory.
  func requireLog(_ fileSystem: any FileSystem) throws(StorageError) {
    guard try !fileSystem.list(statePath).isEmpty,
      try !fileSystem.list(logPath).contains(where: { $0.hasPrefix("log-") })
    else { return }
    throw StorageError(
      .damaged, path: logPath, "there is a state and no log: files are missing; restore them, or start empty")
  }

  private static func settleFormat(_ path: String, _ fileSystem: any FileSystem) throws(StorageError) {
    let file = path + "/format"
    guard let bytes = try fileSystem.readFile(file, limit: 4096) else {
      let foreign = try fileSystem.list(path).filter { $0 != "LOCK" && $0 != "format.new" }.sorted()
      if let first = foreign.first {
        throw StorageError(
          .damaged, path: path,
          "holds \(first) and no format file: this is not a data directory; choose an empty one")
      }
      try fileSystem.replaceFile(file, with: Array("\(formatPrefix)\(formatVersion)\n".utf8))
      return
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
  }
}
