import StreamDiffStorage
import Synchronization

/// A disk that forgets. What was written and not synced survives `powerLoss` by chance, 512 bytes at a
/// time; renames and removals survive as a prefix of those since the directory's last sync. Every call
/// that changes something can be made the last one of the process.
final class MemoryFileSystem: FileSystem {
  fileprivate final class Node {
    var current: [UInt8] = []
    var durable: [UInt8] = []
  }

  private struct Disk {
    var names: [String: Node] = [:]
    var durableNames: [String: Node] = [:]
    /// Names after each change since the last sync of the directory.
    var unsynced: [[String: Node]] = []
    var callsLeft = Int.max
    var ignored: SyncPoint?
    var failing: SyncPoint?
    var syncs: [SyncPoint] = []
  }

  private struct Shared: @unchecked Sendable {  // reached through the mutex alone
    var disk = Disk()
  }

  private let shared = Mutex(Shared())

  /// Durable calls so far.
  var syncs: [SyncPoint] { shared.withLock { $0.disk.syncs } }
  var names: [String] { shared.withLock { $0.disk.names.keys.sorted() } }

  /// Lets `count` changing calls through; the process "dies" at the next, and at all that follow.
  func die(after count: Int) { shared.withLock { $0.disk.callsLeft = count } }
  func ignore(_ point: SyncPoint?) { shared.withLock { $0.disk.ignored = point } }
  func fail(_ point: SyncPoint?) { shared.withLock { $0.disk.failing = point } }

  /// The process was killed; the machine goes on, and so does everything it had written.
  func restart() { shared.withLock { $0.disk.callsLeft = .max } }

  func powerLoss(using random: inout some RandomNumberGenerator) {
    shared.withLock { shared in
      let survived = Int.random(in: 0...shared.disk.unsynced.count, using: &random)
      shared.disk.names = survived == 0 ? shared.disk.durableNames : shared.disk.unsynced[survived - 1]
      shared.disk.durableNames = shared.disk.names
      shared.disk.unsynced = []
      for (_, node) in shared.disk.names.sorted(by: { $0.key < $1.key }) where node.current != node.durable {
        var after = node.durable
        if node.current.count != after.count && Bool.random(using: &random) {
          after += [UInt8](repeating: 0, count: max(0, node.current.count - after.count))
        }
        for start in stride(from: 0, to: min(after.count, node.current.count), by: 512) {
          let end = min(start + 512, after.count, node.current.count)
          guard node.current[start..<end] != after[start..<end], Bool.random(using: &random) else { continue }
          after.replaceSubrange(start..<end, with: node.current[start..<end])
        }
        node.current = after
        node.durable = after
      }
      shared.disk.callsLeft = .max
    }
  }

  /// Changes the bytes of a file behind everybody's back.
  func mutate(_ path: String, _ change: (inout [UInt8]) -> Void) {
    shared.withLock { shared in
      guard let node = shared.disk.names[path] else { return }
      change(&node.current)
      node.durable = node.current
    }
  }

  func contents(_ path: String) -> [UInt8] { shared.withLock { $0.disk.names[path]?.current ?? [] } }

  // MARK: FileSystem

  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    let node = try change(path, counts: mode == .create || mode == .replace) { disk throws(StorageError) in
      let found = disk.names[path]
      switch mode {
      case .read, .write:
        guard let found else { throw StorageError(.notFound, path: path, "open") }
        return Box(found)
      case .create where found != nil: throw StorageError(.io, path: path, "exists")
      case .create, .replace:
        let node = Node()
        disk.names[path] = node
        disk.unsynced.append(disk.names)
        return Box(node)
      }
    }
    return MemoryFile(path: path, node: node, in: self)
  }

  func createDirectory(_ path: String) throws(StorageError) {}

  func list(_ directory: String) throws(StorageError) -> [String] {
    names.compactMap { $0.hasPrefix(directory + "/") ? String($0.dropFirst(directory.count + 1)) : nil }
  }

  func rename(_ old: String, to new: String) throws(StorageError) {
    try change(old, counts: true) { disk throws(StorageError) in
      guard let node = disk.names.removeValue(forKey: old) else {
        throw StorageError(.notFound, path: old, "rename")
      }
      disk.names[new] = node
      disk.unsynced.append(disk.names)
    }
  }

  func remove(_ path: String) throws(StorageError) {
    try change(path, counts: true) { disk throws(StorageError) in
      guard disk.names.removeValue(forKey: path) != nil else {
        throw StorageError(.notFound, path: path, "remove")
      }
      disk.unsynced.append(disk.names)
    }
  }

  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {
    try sync(path, point) { disk in
      disk.durableNames = disk.names
      disk.unsynced = []
    }
  }

  func lock(_ path: String) throws(StorageError) -> any FileLock { NoLock() }
  func space(at path: String) throws(StorageError) -> DiskSpace { DiskSpace(total: 0, available: 0) }

  private final class NoLock: FileLock {}

  fileprivate struct Box: @unchecked Sendable {
    let node: Node
    init(_ node: Node) { self.node = node }
  }

  private func change<R: Sendable>(
    _ path: String, counts: Bool, _ body: (inout Disk) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    try shared.withLock { (shared) throws(StorageError) in
      if counts {
        guard shared.disk.callsLeft > 0 else { throw StorageError(.io, path: path, "the process has died") }
        shared.disk.callsLeft -= 1
      }
      return try body(&shared.disk)
    }
  }

  private func sync(
    _ path: String, _ point: SyncPoint, _ body: (inout Disk) -> Void
  ) throws(StorageError) {
    try change(path, counts: true) { disk throws(StorageError) in
      disk.syncs.append(point)
      if disk.failing == point { throw StorageError(.io, path: path, "sync (\(point.rawValue)): test") }
      if disk.ignored != point { body(&disk) }
    }
  }

  private final class MemoryFile: File, @unchecked Sendable {  // bytes are reached under the disk's mutex
    let path: String
    private let box: Box
    private let disk: MemoryFileSystem

    init(path: String, node: Box, in disk: MemoryFileSystem) {
      (self.path, box, self.disk) = (path, node, disk)
    }

    func size() throws(StorageError) -> UInt64 {
      try disk.change(path, counts: false) { _ throws(StorageError) in UInt64(box.node.current.count) }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
      nonisolated(unsafe) let buffer = buffer
      return try disk.change(path, counts: false) { _ throws(StorageError) in
        let bytes = box.node.current
        guard offset < bytes.count else { return 0 }
        let count = min(buffer.count, bytes.count - Int(offset))
        buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
        return count
      }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
      nonisolated(unsafe) let bytes = bytes
      try disk.change(path, counts: true) { _ throws(StorageError) in
        let end = Int(offset) + bytes.count
        let node = box.node
        if node.current.count < end {
          node.current += [UInt8](repeating: 0, count: end - node.current.count)
        }
        node.current.replaceSubrange(Int(offset)..<end, with: bytes)
      }
    }

    func allocate(_ bytes: UInt64) throws(StorageError) {
      try disk.change(path, counts: true) { _ throws(StorageError) in
        let missing = Int(bytes) - box.node.current.count
        if missing > 0 { box.node.current += [UInt8](repeating: 0, count: missing) }
      }
    }

    func sync(_ point: SyncPoint) throws(StorageError) {
      try disk.sync(path, point) { _ in box.node.durable = box.node.current }
    }
  }
}
