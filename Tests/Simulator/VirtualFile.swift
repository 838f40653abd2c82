import StreamDiffStorage

/// A file's bytes as processes see them, and as the disk has them.
final class VirtualFile {
  static let sectorBytes = 512

  private(set) var current: [UInt8]
  private var durable: [UInt8]
  /// By sector: written since the last sync, whether that succeeded or not.
  private var dirty: [Bool] = []
  private var isSizeDirty = false

  init(durable bytes: [UInt8] = []) { (current, durable) = (bytes, bytes) }

  func copy() -> VirtualFile {
    let copy = VirtualFile()
    (copy.current, copy.durable, copy.dirty, copy.isSizeDirty) = (current, durable, dirty, isSizeDirty)
    return copy
  }

  func write(_ bytes: some Collection<UInt8>, at offset: Int) {
    grow(to: offset + bytes.count)
    current.replaceSubrange(offset..<offset + bytes.count, with: bytes)
    guard !bytes.isEmpty else { return }
    for sector in offset / Self.sectorBytes...(offset + bytes.count - 1) / Self.sectorBytes {
      dirty[sector] = true
    }
  }

  /// Zeros behind the end; they cost a sync nothing but the size.
  func grow(to size: Int) {
    if size > current.count {
      current += [UInt8](repeating: 0, count: size - current.count)
      isSizeDirty = true
    }
    let sectors = (current.count + Self.sectorBytes - 1) / Self.sectorBytes
    if dirty.count < sectors { dirty += [Bool](repeating: false, count: sectors - dirty.count) }
  }

  func truncate() {
    current = []
    isSizeDirty = isSizeDirty || !durable.isEmpty
  }

  func mutate(_ change: (inout [UInt8]) -> Void) {
    change(&current)
    durable = current
    forget()
  }

  var dirtyBytes: Int { dirty.count { $0 } * Self.sectorBytes }

  func sync() {
    if isSizeDirty { resize() }
    for (sector, isDirty) in dirty.enumerated() where isDirty { store(sector) }
    forget()
  }

  /// What a failed sync did not write is not written by the next one either.
  func forget() {
    for sector in dirty.indices { dirty[sector] = false }
    isSizeDirty = false
  }

  func losePower(using random: inout SeededRandom) {
    if isSizeDirty, Bool.random(using: &random) { resize() }
    for (sector, isDirty) in dirty.enumerated() where isDirty && Bool.random(using: &random) { store(sector) }
    current = durable
    dirty = []
    grow(to: 0)
    forget()
  }

  private func resize() {
    if durable.count > current.count { durable.removeLast(durable.count - current.count) }
    durable += [UInt8](repeating: 0, count: current.count - durable.count)
  }

  private func store(_ sector: Int) {
    let start = sector * Self.sectorBytes
    let end = min(start + Self.sectorBytes, current.count, durable.count)
    if start < end { durable.replaceSubrange(start..<end, with: current[start..<end]) }
  }
}

/// Names, and since when they are durable.
final class VirtualDirectory {
  enum Entry {
    case file(VirtualFile)
    case directory(VirtualDirectory)
  }

  private(set) var entries: [String: Entry] = [:]
  private var durable: [String: Entry] = [:]
  /// The names after each change since the last sync.
  private var unsynced: [[String: Entry]] = []
  /// Of the state's engine that lives here.
  var image: EngineImage?

  func set(_ entry: Entry?, for name: String) {
    entries[name] = entry
    unsynced.append(entries)
  }

  func rename(_ entry: Entry, from old: String, to new: String) {
    entries[old] = nil
    set(entry, for: new)
  }

  func plant(_ entry: Entry?, for name: String) {
    entries[name] = entry
    durable[name] = entry
    for change in unsynced.indices { unsynced[change][name] = entry }
  }

  func sync() {
    durable = entries
    unsynced = []
  }

  /// Of all files, as processes see them.
  var bytes: UInt64 {
    entries.values.reduce(0) { sum, entry in
      switch entry {
      case .file(let file): sum + UInt64(file.current.count)
      case .directory(let directory): sum + directory.bytes
      }
    }
  }

  func losePower(using random: inout SeededRandom) {
    let survived = Int.random(in: 0...unsynced.count, using: &random)
    entries = survived == 0 ? durable : unsynced[survived - 1]
    sync()
    for (_, entry) in entries.sorted(by: { $0.key < $1.key }) {
      switch entry {
      case .file(let file): file.losePower(using: &random)
      case .directory(let directory): directory.losePower(using: &random)
      }
    }
  }

  /// The process ended: engines lose what no flush covers.
  func crash(using random: inout SeededRandom) {
    image?.crash(using: &random)
    for (_, entry) in entries.sorted(by: { $0.key < $1.key }) {
      if case .directory(let directory) = entry { directory.crash(using: &random) }
    }
  }

  func copy() -> VirtualDirectory {
    let copy = VirtualDirectory()
    copy.entries = entries.mapValues { entry in
      switch entry {
      case .file(let file): .file(file.copy())
      case .directory(let directory): .directory(directory.copy())
      }
    }
    copy.image = image?.copy()
    copy.sync()
    return copy
  }
}

/// A process's handle on a file.
final class OpenVirtualFile: File {
  let path: String
  private let shared: Shareable<VirtualFile>
  private let life: Int
  private let disk: VirtualDisk

  init(_ path: String, _ node: Shareable<VirtualFile>, life: Int, on disk: VirtualDisk) {
    (self.path, shared, self.life, self.disk) = (path, node, life, disk)
  }

  func size() throws(StorageError) -> UInt64 {
    try disk.withState { _ throws(StorageError) in UInt64(shared.node.current.count) }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
    nonisolated(unsafe) let buffer = buffer
    return try disk.withState { _ throws(StorageError) in
      let bytes = shared.node.current
      guard offset < UInt64(bytes.count) else { return 0 }
      let count = min(buffer.count, bytes.count - Int(offset))
      buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
      return count
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ point: ChangePoint) throws(StorageError) {
    nonisolated(unsafe) let bytes = bytes
    let (node, offset) = (shared.node, Int(offset))
    let tear: (inout VirtualDisk.State) -> Void = { state in
      // The process, or the room, ended within the call.
      let sectors = Int.random(in: 0...bytes.count / VirtualFile.sectorBytes, using: &state.random)
      node.write(bytes.prefix(sectors * VirtualFile.sectorBytes), at: offset)
    }
    try disk.call(.change(point), path, life: life, atDeath: tear, atFailure: tear) {
      state throws(StorageError) in
      try state.require(offset + bytes.count - node.current.count, path)
      node.write(bytes, at: offset)
    }
  }

  func allocate(_ bytes: UInt64, _ point: ChangePoint) throws(StorageError) {
    try disk.call(.change(point), path, life: life) { state throws(StorageError) in
      try state.require(Int(bytes) - shared.node.current.count, path)
      shared.node.grow(to: Int(bytes))
    }
  }

  func sync(_ point: SyncPoint) throws(StorageError) {
    try disk.sync(point, path, life: life, atFailure: { _ in shared.node.forget() }) {
      state throws(StorageError) in
      state.largestSync[point] = max(state.largestSync[point] ?? 0, shared.node.dirtyBytes)
      shared.node.sync()
    }
  }
}

extension VirtualDisk.State {
  /// Room for so many more bytes.
  fileprivate func require(_ bytes: Int, _ path: String) throws(StorageError) {
    guard bytes > 0, capacity < .max else { return }
    guard root.bytes + UInt64(bytes) <= capacity else {
      throw StorageError(.noSpace, path: path, "No space left on device")
    }
  }
}
