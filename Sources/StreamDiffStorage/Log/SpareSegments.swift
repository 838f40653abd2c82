import Synchronization

/// Files that wait to become segments: zero-filled on a thread of their own, or recycled. Overwriting
/// blocks that exist syncs in half the time of writing new ones, and no record waits for the filling.
final class SpareSegments: Sendable {
  /// Enough for a first push of 128 MiB; what a group without traffic may cost on disk.
  static let wanted = 2

  /// Free space, in segments, below which none is set aside: the log and the state need it more.
  private static let roomInSegments: UInt64 = 8

  private struct State {
    var ready: [String] = []
    /// Of a former process, not read yet.
    var adopted: [String] = []
    var count: Int { ready.count + adopted.count }
    var nextNumber: UInt64 = 0
    var thread: JoinableThread?
    var isFilling = false
    var isClosing = false
    /// Of a sync, which is final.
    var failure: StorageError?
  }

  private let directory: String
  private let fileSystem: any FileSystem
  private let segmentBytes: Int
  private let hasThread: Bool
  /// Above those that a spare may hold.
  private let generation: UInt64
  private let state: Mutex<State>

  /// Takes over the spares that a former process left in `directory`, and removes what cannot be used. What is
  /// in them becomes the unwritten part of a segment, so that `prepare` reads them before they are used.
  /// - Parameter lastGeneration: of the log's segments; `nil` for a log that starts anew: its generations would
  ///   not be above theirs.
  init(
    adopting names: [String], lastGeneration: UInt64?, in directory: String, fileSystem: any FileSystem,
    segmentBytes: Int, hasThread: Bool
  ) throws(StorageError) {
    // Any name may stand in the directory.
    generation = min(lastGeneration ?? 0, SegmentFile.maximumGeneration) + 1
    self.directory = directory
    self.fileSystem = fileSystem
    self.segmentBytes = segmentBytes
    self.hasThread = hasThread
    var state = State()
    for name in names {
      let path = directory + "/" + name
      if let number = Self.number(ofSpare: name) {
        state.nextNumber = max(state.nextNumber, number + 1)
        let size = try fileSystem.open(path, .read).size()
        if lastGeneration != nil && size == UInt64(segmentBytes) && state.count < Self.wanted {
          state.adopted.append(path)
          continue
        }
      } else if !Self.isUnfinished(name) {
        continue
      }
      try Self.discard(path, in: fileSystem)
    }
    self.state = Mutex(state)
  }

  /// What nobody can use.
  private static func discard(_ path: String, in fileSystem: any FileSystem) throws(StorageError) {
    try fileSystem.remove(path, .spareLeftover)
  }

  /// Why the disk cannot be trusted any more, if a sync of a spare failed.
  var failure: StorageError? { state.withLock { $0.failure } }

  private static func number(ofSpare name: String) -> UInt64? {
    guard name.hasPrefix("spare-"), let number = UInt64(name.dropFirst(6), radix: 16),
      number < SegmentFile.maximumGeneration
    else { return nil }
    return number
  }

  static func isSpare(_ name: String) -> Bool { number(ofSpare: name) != nil }

  /// Whether a process that was killed left it.
  static func isUnfinished(_ name: String) -> Bool { name.hasPrefix("filling-") }

  /// A file of `segmentBytes` to rename, if one is ready.
  func take() -> String? { state.withLock { $0.ready.popLast() } }

  /// Renames a segment that the log no longer needs. The caller syncs the directory.
  func recycle(_ path: String, size: UInt64) throws(StorageError) {
    let isKept = hasRoom && size == UInt64(segmentBytes)
    let spare: String? = state.withLock { state in
      guard isKept, state.count < Self.wanted else { return nil }
      defer { state.nextNumber += 1 }
      return directory + "/spare-" + String(state.nextNumber, radix: 16)
    }
    guard let spare else { return try fileSystem.remove(path, .logSegmentRemove) }
    try fileSystem.rename(path, to: spare, .logSegmentRecycle)
    state.withLock { $0.ready.append(spare) }
  }

  /// Reads what was adopted and fills spares up to `wanted`, on a thread of its own if it has one. Does nothing
  /// while that is under way.
  func prepare() {
    let hasRoom = hasRoom
    let isOurs = state.withLock { state in
      let isNeeded = !state.adopted.isEmpty || (hasRoom && state.count < Self.wanted)
      guard isNeeded, !state.isFilling, !state.isClosing, state.failure == nil else { return false }
      state.isFilling = true
      guard hasThread else { return true }
      state.thread?.join()  // it is past its last use of `state`
      state.thread = JoinableThread { self.fill() }
      // Without a thread, and without a spare, the log allocates its next segment itself.
      state.isFilling = state.thread != nil
      return false
    }
    if isOurs { fill() }
  }

  /// Stops the thread and waits for it.
  func close() {
    let thread = state.withLock { state in
      state.isClosing = true
      defer { state.thread = nil }
      return state.thread
    }
    thread?.join()
  }

  private var hasRoom: Bool {
    guard let space = try? fileSystem.space(at: directory), space.total > 0 else { return true }
    return space.available / UInt64(segmentBytes) >= Self.roomInSegments
  }

  private func fill() {
    readAdopted()
    while true {
      let number: UInt64? = state.withLock { state in
        guard !state.isClosing, hasRoom, state.count < Self.wanted else {
          state.isFilling = false
          return nil
        }
        defer { state.nextNumber += 1 }
        return state.nextNumber
      }
      guard let number else { return }
      // A spare is a convenience: a full or failing disk shows where it matters, at the next record.
      guard let path = try? fillOne(number) else { return state.withLock { $0.isFilling = false } }
      state.withLock { $0.ready.append(path) }
    }
  }

  private func readAdopted() {
    let scratch = ScratchBuffer()
    while let path = state.withLock({ $0.isClosing ? nil : $0.adopted.last }) {
      let isWhole = (try? firstDamage(of: path, scratch: scratch)) == .some(nil)
      let isOver = state.withLock { state in
        if state.isClosing { return true }
        state.adopted.removeLast()
        if isWhole { state.ready.append(path) }
        return false
      }
      if !isWhole && !isOver { try? Self.discard(path, in: fileSystem) }
    }
  }

  private func firstDamage(of path: String, scratch: ScratchBuffer) throws(StorageError) -> UInt64? {
    try Self.firstDamage(
      in: try fileSystem.open(path, .read), below: generation, scratch: scratch,
      isCancelled: { self.state.withLock { $0.isClosing } })
  }

  /// - Returns: the offset of the first sector that cannot pass for the unwritten part of a segment of
  ///   `generation`; `nil` when all can, or when it was cancelled.
  static func firstDamage(
    in file: any File, below generation: UInt64, scratch: ScratchBuffer, isCancelled: () -> Bool = { false },
    advance: (Int) -> Void = { _ in }
  ) throws(StorageError) -> UInt64? {
    let size = try file.size()
    var offset: UInt64 = 0
    while offset < size, !isCancelled() {
      let buffer = scratch.bytes(Int(min(size - offset, 1 << 20)))
      let count = try file.read(into: buffer, at: offset)
      guard count == buffer.count, count % Sector.bytes == 0, let base = buffer.baseAddress else {
        return offset
      }
      for sector in 0..<count / Sector.bytes {
        let number = UInt32(offset / UInt64(Sector.bytes)) + UInt32(sector)
        let state = Sector.state(of: base + sector * Sector.bytes, number: number, generation: generation)
        if state == .damaged { return UInt64(number) * UInt64(Sector.bytes) }
      }
      offset += UInt64(count)
      advance(count)
    }
    return nil
  }

  /// - Returns: `nil` when the log closes meanwhile.
  private func fillOne(_ number: UInt64) throws(StorageError) -> String? {
    let digits = String(number, radix: 16)
    let (filling, spare) = (directory + "/filling-" + digits, directory + "/spare-" + digits)
    var isFilled = false
    defer { if !isFilled { try? fileSystem.remove(filling, .spareAbandon) } }
    let file = try Self.write(filling, bytes: segmentBytes, in: fileSystem) {
      self.state.withLock { $0.isClosing }
    }
    guard let file else { return nil }
    do throws(StorageError) {
      try Self.sync(file)
    } catch {
      state.withLock { $0.failure = error }
      throw error
    }
    try fileSystem.rename(filling, to: spare, .spareAppear)
    isFilled = true
    return spare
  }

  /// Makes a file of zeros, durable.
  static func fill(_ path: String, bytes: Int, in fileSystem: any FileSystem) throws(StorageError) {
    if let file = try write(path, bytes: bytes, in: fileSystem, isCancelled: { false }) { try sync(file) }
  }

  private static func sync(_ file: any File) throws(StorageError) { try file.sync(.logSpare) }

  /// - Returns: `nil` when `isCancelled` became true before the file was whole.
  private static func write(
    _ path: String, bytes: Int, in fileSystem: any FileSystem, isCancelled: () -> Bool
  ) throws(StorageError) -> (any File)? {
    let file = try fileSystem.open(path, .replace(.spareCreate))
    let block = [UInt8](repeating: 0, count: min(bytes, 1 << 20))
    for offset in stride(from: 0, to: bytes, by: block.count) {
      if isCancelled() { return nil }
      try block.withBytes { (buffer) throws(StorageError) in
        let piece = UnsafeRawBufferPointer(rebasing: buffer[..<min(block.count, bytes - offset)])
        try file.write(piece, at: UInt64(offset), .spareFill)
      }
    }
    return file
  }
}
