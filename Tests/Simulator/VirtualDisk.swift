public import StreamDiffStorage
import Synchronization

/// A call of `FileSystem` or of the state's engine that a test can count, refuse or leave out.
public enum DiskCall: Hashable, Sendable {
  case sync(SyncPoint)
  case change(ChangePoint)

  /// As errors show it.
  public var name: String {
    switch self {
    case .sync(let point): "sync (\(point.rawValue))"
    case .change(let point): point.rawValue
    }
  }
}

/// A call that a test made fail.
public struct FailedCall: Hashable, Sendable, CustomStringConvertible {
  public let call: DiskCall
  public let path: String
  public var description: String { "\(call.name) of \(path)" }
}

/// A disk that forgets. What was written and not synced survives a loss of power by chance, 512 bytes at a
/// time; what was created, renamed and removed survives as a prefix of those changes since the last sync of
/// their directory. A failed sync loses what it should have written, as the kernel does: a later one that
/// succeeds does not bring it. Every changing call can be the last one of the process, and tear.
///
/// One value is everything that outlives a process: files, directories and the state's tables.
public final class VirtualDisk: FileSystem {
  struct State {
    var root = VirtualDirectory()
    var random: SeededRandom
    var capacity = UInt64.max
    /// Changing calls before the process dies.
    var callsLeft = Int.max
    var isDead = false
    /// Handles of an earlier life do nothing any more.
    var life = 0
    var ignored: Set<SyncPoint> = []
    var failing: [DiskCall: StorageError.Code] = [:]
    var failed: [FailedCall] = []
    var locks: Set<String> = []
    var calls: [DiskCall] = []
    /// The most bytes that one sync of each point had to write.
    var largestSync: [SyncPoint: Int] = [:]
  }

  private struct Shared: @unchecked Sendable {  // nodes are reached through the mutex alone
    var state: State
  }

  private let shared: Mutex<Shared>

  public init(seed: UInt64 = 0) {
    shared = Mutex(Shared(state: State(random: SeededRandom(seed: seed))))
  }

  private init(_ shared: Shared) { self.shared = Mutex(shared) }

  func withState<R: Sendable>(
    _ body: (inout State) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    try shared.withLock { (shared) throws(StorageError) in try body(&shared.state) }
  }

  private func with<R: Sendable>(_ body: (inout State) -> R) -> R { shared.withLock { body(&$0.state) } }
}

// MARK: What tests do to it

extension VirtualDisk {
  /// Changing calls of the process so far, in order.
  public var calls: [DiskCall] { with { $0.calls } }
  public var syncs: [SyncPoint] {
    calls.compactMap { if case .sync(let point) = $0 { point } else { nil } }
  }
  public var isDead: Bool { with { $0.isDead } }
  /// Bytes that may be used; less than what is used lets nothing grow.
  public func setCapacity(_ bytes: UInt64) { with { $0.capacity = bytes } }
  /// The most bytes that one sync of `point` had to write.
  public func largestSync(of point: SyncPoint) -> Int { with { $0.largestSync[point] ?? 0 } }

  /// Lets `count` changing calls through; the process dies in the next one.
  public func die(after count: Int) { with { $0.callsLeft = count } }

  /// The call does nothing, and says that it did.
  public func ignore(_ point: SyncPoint?) { with { $0.ignored = point.map { [$0] } ?? [] } }

  /// The next such call fails; it is then as before.
  public func fail(_ call: DiskCall, with code: StorageError.Code = .io) { with { $0.failing[call] = code } }
  /// Nothing is to fail any more.
  public var isHealed: Bool { with { $0.failing.isEmpty } }
  /// Calls of this process that failed as they were told to.
  public var failed: [FailedCall] { with { $0.failed } }

  /// The process was killed: what it had written stays, and what the state's engine held in memory goes.
  public func kill() { with { $0.restart() } }

  /// The machine lost power.
  public func losePower() {
    with { state in
      var random = state.random
      state.root.losePower(using: &random)
      state.random = random
      state.restart()
    }
  }

  /// A disk with the same content, synced or not.
  public func copy() -> VirtualDisk {
    VirtualDisk(
      with { state in
        var copy = State(random: state.random)
        copy.root = state.root.copy()
        return Shared(state: copy)
      })
  }

  /// Files of a directory, sorted, by their whole paths.
  public func files(in directory: String) -> [String] {
    with { state in
      let found = state.directory(directory)?.entries ?? [:]
      return found.compactMap { name, entry in
        if case .file = entry { directory + "/" + name } else { nil }
      }.sorted()
    }
  }

  /// Changes the bytes of a file behind everybody's back.
  public func mutate(_ path: String, _ change: (inout [UInt8]) -> Void) {
    nonisolated(unsafe) let change = change
    with { $0.file(path)?.mutate(change) }
  }

  public func contents(_ path: String) -> [UInt8] { with { $0.file(path)?.current ?? [] } }

  /// Removes a file, or makes an empty one, behind everybody's back.
  public func erase(_ path: String) { with { $0.plant(path, nil) } }
  public func plant(_ path: String, _ bytes: [UInt8]) { with { $0.plant(path, bytes) } }

  /// The state's engine in `directory`, which exists.
  public func engine(_ directory: String) throws(StorageError) -> MemoryEngine {
    let image = try withState { state throws(StorageError) in
      guard let home = state.directory(directory) else {
        throw StorageError(.notFound, path: directory, "open")
      }
      if home.image == nil {
        home.image = EngineImage()
        // As RocksDB, which syncs it: whoever looks sees that there is a state.
        state.plant(directory + "/CURRENT", [1])
      }
      return home.image!
    }
    var faults = EngineFaults()
    faults.onWrite = { [self] point throws(StorageError) in
      try self.call(.change(point), directory) { _ in }
    }
    faults.onFlush = { [self] point throws(StorageError) in try self.sync(point, directory) { _ in } }
    faults.flushes = { [self] point in !with { $0.ignored.contains(point) } }
    return try MemoryEngine(directory, opening: image, faults: faults)
  }
}

// MARK: FileSystem

extension VirtualDisk {
  public func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    let opened: (node: Shareable<VirtualFile>, life: Int)
    switch mode {
    case .read, .write:
      opened = try withState { state throws(StorageError) in
        guard let found = state.file(path) else { throw StorageError(.notFound, path: path, "open") }
        return (Shareable(found), state.life)
      }
    case .replace(let point):
      opened = try call(.change(point), path) { state throws(StorageError) in
        if let found = state.file(path) {
          found.truncate()
          return (Shareable(found), state.life)
        }
        let node = VirtualFile()
        try state.parent(of: path).set(.file(node), for: path.lastName)
        return (Shareable(node), state.life)
      }
    }
    return OpenVirtualFile(path, opened.node, life: opened.life, on: self)
  }

  public func makeDirectory(_ path: String) throws(StorageError) {
    try withState { state throws(StorageError) in
      guard !state.isDead else { throw VirtualDisk.died(path) }
      guard state.directory(path) == nil else { return }
      try state.parent(of: path).set(.directory(VirtualDirectory()), for: path.lastName)
    }
  }

  public func list(_ directory: String) throws(StorageError) -> [String] {
    try withState { state throws(StorageError) in
      guard let found = state.directory(directory) else {
        throw StorageError(.notFound, path: directory, "list")
      }
      return found.entries.keys.sorted()
    }
  }

  public func rename(_ old: String, to new: String, _ point: ChangePoint) throws(StorageError) {
    try call(.change(point), old) { state throws(StorageError) in
      let directory = try state.parent(of: old)
      guard try directory === state.parent(of: new) else {
        preconditionFailure("a rename across directories: two changes, which nobody needs so far")
      }
      guard let entry = directory.entries[old.lastName] else {
        throw StorageError(.notFound, path: old, "rename")
      }
      directory.rename(entry, from: old.lastName, to: new.lastName)
    }
  }

  public func remove(_ path: String, _ point: ChangePoint) throws(StorageError) {
    try call(.change(point), path) { state throws(StorageError) in
      guard state.file(path) != nil else { throw StorageError(.notFound, path: path, "remove") }
      try state.parent(of: path).set(nil, for: path.lastName)
    }
  }

  public func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {
    try sync(point, path) { state throws(StorageError) in
      guard let directory = state.directory(path) else {
        throw StorageError(.notFound, path: path, "open directory")
      }
      directory.sync()
    }
  }

  public func lock(_ path: String) throws(StorageError) -> any FileLock {
    let life = try withState { state throws(StorageError) in
      guard !state.isDead else { throw VirtualDisk.died(path) }
      guard state.locks.insert(path).inserted else {
        throw StorageError(.locked, path: path, "another process uses this directory; stop it first")
      }
      if state.file(path) == nil {
        try state.parent(of: path).set(.file(VirtualFile()), for: path.lastName)
      }
      return state.life
    }
    return Lock(path, life: life, on: self)
  }

  public func space(at path: String) throws(StorageError) -> DiskSpace {
    try withState { state throws(StorageError) in
      DiskSpace(total: state.capacity, available: state.capacity - min(state.capacity, state.root.bytes))
    }
  }

  private final class Lock: FileLock {
    private let path: String
    private let life: Int
    private let disk: VirtualDisk

    init(_ path: String, life: Int, on disk: VirtualDisk) {
      (self.path, self.life, self.disk) = (path, life, disk)
    }

    deinit { disk.with { if $0.life == life { $0.locks.remove(path) } } }
  }

  static func died(_ path: String) -> StorageError { StorageError(.io, path: path, "the process has died") }

  /// A call that changes something: counted, refused, or carried out.
  @discardableResult
  func call<R: Sendable>(
    _ call: DiskCall, _ path: String, life: Int? = nil,
    atDeath: (inout State) -> Void = { _ in }, atFailure: (inout State) -> Void = { _ in },
    _ body: (inout State) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    try withState { state throws(StorageError) in
      guard !state.isDead, life ?? state.life == state.life else { throw Self.died(path) }
      guard state.callsLeft > 0 else {
        state.isDead = true
        atDeath(&state)
        throw Self.died(path)
      }
      state.callsLeft -= 1
      state.calls.append(call)
      if let code = state.failing.removeValue(forKey: call) {
        state.failed.append(FailedCall(call: call, path: path))
        atFailure(&state)
        let text = code == .noSpace ? "No space left on device" : "Input/output error"
        throw StorageError(code, path: path, "\(call.name): \(text)")
      }
      return try body(&state)
    }
  }

  /// A call that makes something durable, unless a test leaves it out.
  func sync(
    _ point: SyncPoint, _ path: String, life: Int? = nil, atFailure: (inout State) -> Void = { _ in },
    _ body: (inout State) throws(StorageError) -> Void
  ) throws(StorageError) {
    try call(.sync(point), path, life: life, atFailure: atFailure) { state throws(StorageError) in
      if !state.ignored.contains(point) { try body(&state) }
    }
  }
}

extension VirtualDisk.State {
  fileprivate mutating func restart() {
    root.crash(using: &random)
    locks = []
    life += 1
    (callsLeft, isDead) = (.max, false)
    calls = []
    failed = []
  }

  func directory(_ path: String) -> VirtualDirectory? {
    var place = root
    for part in path.split(separator: "/") where part != "." {
      guard case .directory(let next)? = place.entries[String(part)] else { return nil }
      place = next
    }
    return place
  }

  func parent(of path: String) throws(StorageError) -> VirtualDirectory {
    guard let parent = directory(path.parentPath) else {
      throw StorageError(.notFound, path: path, "no directory above")
    }
    return parent
  }

  func file(_ path: String) -> VirtualFile? {
    guard case .file(let file)? = directory(path.parentPath)?.entries[path.lastName] else { return nil }
    return file
  }

  /// Behind everybody's back, and durable; `nil` removes.
  func plant(_ path: String, _ bytes: [UInt8]?) {
    guard let directory = directory(path.parentPath) else { return }
    directory.plant(bytes.map { .file(VirtualFile(durable: $0)) }, for: path.lastName)
  }
}

extension String {
  fileprivate var lastName: String { String(split(separator: "/").last ?? "") }
  fileprivate var parentPath: String { split(separator: "/").dropLast().joined(separator: "/") }
}

/// Hands out a node whose bytes are reached under the disk's mutex alone.
struct Shareable<Node: AnyObject>: @unchecked Sendable {
  let node: Node
  init(_ node: Node) { self.node = node }
}
