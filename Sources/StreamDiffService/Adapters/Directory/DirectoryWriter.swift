import CLinux
import Glibc
import StreamDiffCore

/// Carries the operations of a session out on a directory.
///
/// A new file is written beside the old one under a temporary name. Once some are whole, one sync makes
/// them durable and then each is renamed into place: whatever happens, a name shows its old content or its
/// new one. What goes away and what changes its kind waits for `settle`; modes of directories are set last,
/// because a directory that may not be written cannot be filled.
final class DirectoryWriter {
  /// Unfinished files that wait for one sync: enough to make the sync cheap, few enough to bound the room
  /// they take.
  private static let maximumPending = 1024
  private static let maximumPendingBytes: UInt64 = 64 << 20

  private struct Unfinished {
    let path: [UInt8]
    let temporary: [UInt8]
  }

  private let tree: Beneath
  private(set) var model: DirectoryModel
  private var current: FileAssembly?
  private var pending: [Unfinished] = []
  private var pendingBytes: UInt64 = 0
  /// Whole and synced, but their place is taken by a directory that has yet to go.
  private var blocked: [Unfinished] = []
  private var removed: [[UInt8]] = []
  /// Directories whose mode on disk is not that of the model.
  private var unsettledModes: Set<[UInt8]> = []
  private(set) var strays = Strays()
  private var hash = SHA256()
  private var temporaries: UInt64
  private let journal: PullJournal
  /// What earlier pulls and sessions put together of files, by path.
  private var leftovers: [[UInt8]: [Leftover]]
  /// Whether `abandon` leaves unfinished files to the next pull.
  var keepsUnfinished = false

  /// Files and links written or removed; directories are not counted.
  private(set) var changedFiles: Set<[UInt8]> = []

  /// - Parameter seed: makes temporary names of two runs differ.
  init(_ tree: Beneath, _ content: DirectoryContent, leftovers: [Leftover], seed: UInt64) {
    self.tree = tree
    journal = PullJournal(tree)
    self.leftovers = Dictionary(grouping: leftovers, by: \.path)
    model = DirectoryModel(content)
    temporaries = seed
  }

  deinit { abandon() }

  /// Removes unfinished files, unless the next pull is to find them. What was renamed into place stays.
  func abandon() {
    guard !keepsUnfinished else { return }
    interrupt()
    for unfinished in pending + blocked { discard(unfinished) }
    (pending, blocked) = ([], [])
    discardLeftovers()
    journal.remove()
  }

  /// The file under way becomes a leftover.
  private func interrupt() {
    guard let begun = current else { return }
    current = nil
    let found = begun.leftovers + (begun.leftover.map { [$0] } ?? [])
    if !found.isEmpty { leftovers[begun.path, default: []] += found }
  }

  private func discardLeftovers(where isDiscarded: (Leftover) -> Bool = { _ in true }) {
    for leftover in leftovers.values.joined() where isDiscarded(leftover) { discard(leftover) }
    leftovers = leftovers.mapValues { $0.filter { !isDiscarded($0) } }.filter { !$0.value.isEmpty }
  }

  private func discard(_ leftover: Leftover) {
    discard(Unfinished(path: leftover.path, temporary: TemporaryName.make(leftover.temporary)))
  }

  private var journalled: [PullJournal.Entry] { leftovers.values.joined().map(\.entry) }

  private func discard(_ unfinished: Unfinished) {
    guard let (parent, _) = try? tree.parent(of: unfinished.path) else { return }
    _ = withCString(unfinished.temporary) { unlinkat(parent.descriptor, $0, 0) }
  }

  /// Puts what an earlier session completed in place; a file that it had begun keeps its old content.
  ///
  /// - Returns: what is there, unfinished files included.
  func resume() throws -> DirectoryContent {
    interrupt()
    // A directory that goes must be empty.
    let going = Set(removed.filter { DirectoryKey.isDirectory($0) })
    if !going.isEmpty { discardLeftovers { leftover in going.contains { leftover.path.starts(with: $0) } } }
    try journal.compact(to: journalled, onlyIfLong: false)
    try renamePending()
    for unfinished in blocked where try !rename(unfinished) {
      // The directory in its place was still to be deleted.
      discard(unfinished)
      model.revert(unfinished.path)
    }
    blocked.removeAll()
    strays = Strays()  // they are nowhere: another session may need them
    let content = try place()
    return leftovers.isEmpty
      ? content : DirectoryContent(content.entries, leftovers: Array(leftovers.values.joined()))
  }

  // MARK: Operations

  func put(_ key: Span<UInt8>, _ value: Span<UInt8>) throws {
    let key = try DirectoryKey(decoding: key)
    switch key.tail {
    case .record:
      try finishCurrent()
      let bytes = value.withUnsafeBufferPointer { Array($0) }
      try begin(key.path, try DirectoryRecord(decoding: bytes, path: key.path))
    case .part(let digest):
      try check(value, against: digest, of: key)
      let bytes = value.withUnsafeBufferPointer { Array($0) }
      if try assembly(of: key.path)?.add(part: digest, bytes) != true {
        try strays.add(key, value, using: &hash)
      }
    case .piece(let digest):
      try check(value, against: digest, of: key)
      let isListed = try value.withUnsafeBytes { bytes throws(AdapterError) in
        try assembly(of: key.path)?.add(piece: digest, bytes)
      }
      if isListed != true { try strays.add(key, value, using: &hash) }
    }
  }

  private func check(_ value: Span<UInt8>, against digest: Digest, of key: DirectoryKey) throws(AdapterError)
  {
    hash.update(value.bytes)
    guard hash.finish() == digest else {
      throw AdapterError(
        .refused, path: tree.display(key.path),
        "refused: content that is not what its key says; its source is damaged")
    }
  }

  /// Pieces and parts go with the record that no longer lists them.
  func delete(_ key: Span<UInt8>) throws {
    let key = try DirectoryKey(decoding: key)
    guard key.tail == .record else { return }
    try finishCurrent()
    note(key.path)
    model[key.path] = nil
    removed.append(key.path)
  }

  /// The file under way, if it is this one; records come before what they list.
  private func assembly(of path: [UInt8]) -> FileAssembly? { current?.path == path ? current : nil }

  private func begin(_ path: [UInt8], _ record: DirectoryRecord) throws {
    try checkParent(of: path)
    note(path)
    switch record.content {
    case .directory:
      let other = Array(path.dropLast())
      try model.checkUnwritten(other)
      try makeDirectory(path)
      if model[other] != nil { model[other] = nil }
      model[path] = DirectoryEntry(path: path, mode: record.mode, content: .directory)
      unsettledModes.insert(path)
    case .link(let target):
      let temporary = try makeTemporary(beside: path) { parent, name in
        withCString(target) { symlinkat($0, parent, name) }
      }
      model[path] = DirectoryEntry(path: path, mode: record.mode, content: .link(target: target))
      try wait(for: Unfinished(path: path, temporary: TemporaryName.make(temporary.number)), bytes: 0)
    case .file:
      let found = leftovers.removeValue(forKey: path) ?? []
      current = try FileAssembly(
        path, record: record, old: model[path]?.file, leftovers: found, tree: tree
      ) { [unowned self] items throws(AdapterError) in try open(path, items, found) }
    }
  }

  /// The unfinished file for these pieces: one that was to hold the same, or a new one.
  private func open(
    _ path: [UInt8], _ items: [DirectoryRecord.Item], _ found: [Leftover]
  ) throws(AdapterError) -> FileAssembly.Target {
    for leftover in found where leftover.items == items {
      let (parent, name) = try tree.parent(of: leftover.temporaryPath)
      let descriptor = withCString(name) { openat(parent.descriptor, $0, O_RDWR | O_NOFOLLOW | O_CLOEXEC) }
      guard descriptor >= 0 else { continue }
      return FileAssembly.Target(
        temporary: leftover.temporary, file: OpenFile(owning: descriptor), written: leftover.present)
    }
    let temporary = try makeTemporary(beside: path) { parent, name in
      openat(parent, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    }
    let file = OpenFile(owning: temporary.result)
    if !items.isEmpty {
      try journal.append(PullJournal.Entry(path: path, temporary: temporary.number, pieces: items))
    }
    return FileAssembly.Target(temporary: temporary.number, file: file)
  }

  private func note(_ path: [UInt8]) {
    if !DirectoryKey.isDirectory(path) { changedFiles.insert(path) }
  }

  private func finishCurrent() throws {
    guard let assembly = current else { return }
    let file = try assembly.finish()
    guard let target = assembly.target else { preconditionFailure("a finished file is open") }
    current = nil
    for leftover in assembly.leftovers where leftover.temporary != target.temporary { discard(leftover) }
    model[assembly.path] = DirectoryEntry(path: assembly.path, mode: assembly.mode, content: .file(file))
    let temporary = TemporaryName.make(target.temporary)
    try wait(for: Unfinished(path: assembly.path, temporary: temporary), bytes: file.size)
  }

  // MARK: Into place

  private func wait(for unfinished: Unfinished, bytes: UInt64) throws {
    pending.append(unfinished)
    pendingBytes += bytes
    if pending.count >= Self.maximumPending || pendingBytes >= Self.maximumPendingBytes {
      try renamePending()
    }
  }

  private func renamePending() throws {
    guard !pending.isEmpty else { return }
    try sync()
    while let unfinished = pending.last {
      if try !rename(unfinished) { blocked.append(unfinished) }
      pending.removeLast()
    }
    pendingBytes = 0
    try journal.compact(to: journalled, onlyIfLong: true)
  }

  /// - Returns: false when a directory stands in the way.
  private func rename(_ unfinished: Unfinished) throws(AdapterError) -> Bool {
    let (parent, name) = try tree.parent(of: unfinished.path)
    let status = withCString(unfinished.temporary) { temporary in
      withCString(name) { renameat(parent.descriptor, temporary, parent.descriptor, $0) }
    }
    if status == 0 { return true }
    if errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST { return false }
    throw .system("rename", path: tree.display(unfinished.path))
  }

  /// Everything in place and on disk.
  ///
  /// - Returns: the content as it now is.
  func settle() throws -> DirectoryContent {
    try finishCurrent()
    discardLeftovers()
    let content = try place()
    journal.remove()
    return strays.records.isEmpty ? content : DirectoryContent(content.entries, strays: strays.records)
  }

  private func place() throws -> DirectoryContent {
    let changes = !(pending.isEmpty && removed.isEmpty && unsettledModes.isEmpty)
    try renamePending()
    // In reverse key order what a directory holds goes before the directory.
    for path in removed.sorted(by: { precedes($1, $0) }) where model[path] == nil { try remove(path) }
    removed.removeAll()
    tree.forget()
    try model.settle()
    for unfinished in blocked {
      guard try rename(unfinished) else {
        throw AdapterError(
          .io, path: tree.display(unfinished.path), "a directory that is not empty is in the way")
      }
    }
    blocked.removeAll()
    for path in unsettledModes.sorted(by: { precedes($1, $0) }) { try setMode(of: path) }
    unsettledModes.removeAll()
    if changes { try sync() }
    return model.content
  }

  private func sync() throws(AdapterError) {
    guard streamdiff_syncfs(tree.root.descriptor) == 0 else { throw .system("sync", path: tree.name) }
  }

  // MARK: Directories

  /// A hostile or damaged sender must not write where no directory is recorded.
  private func checkParent(of path: [UInt8]) throws(AdapterError) {
    let trimmed = DirectoryKey.isDirectory(path) ? path.dropLast() : path[...]
    guard let slash = trimmed.lastIndex(of: UInt8(ascii: "/")) else { return }
    guard model[Array(path[...slash])] != nil else {
      throw AdapterError(.refused, path: tree.display(path), "refused: its directory has no record")
    }
  }

  private func makeDirectory(_ path: [UInt8]) throws(AdapterError) {
    let make = { [tree] () throws(AdapterError) -> Bool in
      let (parent, name) = try tree.parent(of: path)
      return withCString(name) { mkdirat(parent.descriptor, $0, 0o700) } == 0
    }
    try openingParent(of: path) { () throws(AdapterError) in
      if try make() { return }
      guard errno == EEXIST else { throw .system("mkdir", path: tree.display(path)) }
      let (parent, name) = try tree.parent(of: path)
      var status = stat()
      guard withCString(name, { fstatat(parent.descriptor, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 else {
        throw .system("stat", path: tree.display(path))
      }
      if status.st_mode & S_IFMT == S_IFDIR { return }
      // What is no directory gives way: the sender has a directory under this name, so nothing else.
      guard withCString(name, { unlinkat(parent.descriptor, $0, 0) }) == 0, try make() else {
        throw .system("replace by a directory", path: tree.display(path))
      }
    }
  }

  private func makeTemporary(
    beside path: [UInt8], _ make: (_ parent: Int32, _ name: UnsafePointer<CChar>) -> Int32
  ) throws(AdapterError) -> (number: UInt64, result: Int32) {
    temporaries &+= 1
    let temporary = TemporaryName.make(temporaries)
    var result: Int32 = -1
    try openingParent(of: path) { () throws(AdapterError) in
      let (parent, _) = try tree.parent(of: path)
      result = withCString(temporary) { make(parent.descriptor, $0) }
      guard result >= 0 else { throw .system("create", path: tree.display(path)) }
    }
    return (temporaries, result)
  }

  private func remove(_ path: [UInt8]) throws(AdapterError) {
    try openingParent(of: path) { () throws(AdapterError) in
      let flags = DirectoryKey.isDirectory(path) ? AT_REMOVEDIR : 0
      let parent: OpenFile
      let name: ArraySlice<UInt8>
      do throws(AdapterError) {
        (parent, name) = try tree.parent(of: path)
      } catch {
        // Its directory is gone or has become something else, and it with it.
        guard error.code == .refused || error.code == .changed else { throw error }
        return
      }
      guard withCString(name, { unlinkat(parent.descriptor, $0, flags) }) != 0 else { return }
      switch errno {
      case ENOENT, ENOTDIR, EISDIR: return  // gone, or replaced by what the sender has there
      case ENOTEMPTY, EEXIST:
        throw AdapterError(
          .io, path: tree.display(path), "not empty: it holds what no pull touches; remove it")
      default: throw .system("remove", path: tree.display(path))
      }
    }
    if DirectoryKey.isDirectory(path) { tree.forget() }
  }

  /// Runs `body`; where the directory of `path` may not be written, makes it so for the time being and
  /// tries again.
  private func openingParent(
    of path: [UInt8], _ body: () throws(AdapterError) -> Void
  ) throws(AdapterError) {
    do {
      try body()
    } catch {
      let trimmed = DirectoryKey.isDirectory(path) ? path.dropLast() : path[...]
      guard error.number == EACCES, let slash = trimmed.lastIndex(of: UInt8(ascii: "/")),
        let (parent, _) = try? tree.parent(of: path), fchmod(parent.descriptor, 0o700) == 0
      else { throw error }
      unsettledModes.insert(Array(path[...slash]))
      try body()
    }
  }

  private func setMode(of path: [UInt8]) throws(AdapterError) {
    guard let entry = model[path] else { return }
    let (parent, name) = try tree.parent(of: path)
    let descriptor = withCString(name) {
      openat(parent.descriptor, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    }
    guard descriptor >= 0 else { throw .system("open", path: tree.display(path)) }
    let directory = OpenFile(owning: descriptor)
    guard fchmod(directory.descriptor, mode_t(entry.mode)) == 0 else {
      throw .system("chmod", path: tree.display(path))
    }
  }
}
