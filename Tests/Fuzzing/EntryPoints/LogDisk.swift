import StreamDiffStorage

/// Files in memory. Nothing fails and nothing is forgotten: what they hold is the test.
final class LogDisk: FileSystem, @unchecked Sendable {  // one thread uses it
  fileprivate final class Node: @unchecked Sendable {  // as the disk
    var bytes: [UInt8]
    init(_ bytes: [UInt8]) { self.bytes = bytes }
  }

  private var nodes: [String: Node]

  init(_ files: [String: [UInt8]]) { nodes = files.mapValues { Node($0) } }

  var files: [String: [UInt8]] { nodes.mapValues(\.bytes) }

  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    switch mode {
    case .replace: nodes[path] = Node([])
    case .read, .write: break
    }
    guard let node = nodes[path] else { throw StorageError(.notFound, path: path, "open") }
    return MemoryFile(path: path, node: node)
  }

  func makeDirectory(_ path: String) throws(StorageError) {}

  func list(_ directory: String) throws(StorageError) -> [String] {
    nodes.keys.sorted().map { String($0.dropFirst(directory.count + 1)) }
  }

  func rename(_ old: String, to new: String, _ point: ChangePoint) throws(StorageError) {
    guard let node = nodes.removeValue(forKey: old) else {
      throw StorageError(.notFound, path: old, "rename")
    }
    nodes[new] = node
  }

  func remove(_ path: String, _ point: ChangePoint) throws(StorageError) { nodes[path] = nil }
  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {}
  func lock(_ path: String) throws(StorageError) -> any FileLock { Lock() }
  func space(at path: String) throws(StorageError) -> DiskSpace {
    DiskSpace(total: 1 << 40, available: 1 << 40)
  }

  private final class Lock: FileLock {}
}

private final class MemoryFile: File {
  let path: String
  private let node: LogDisk.Node

  init(path: String, node: LogDisk.Node) { (self.path, self.node) = (path, node) }

  func size() throws(StorageError) -> UInt64 { UInt64(node.bytes.count) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
    guard offset < UInt64(node.bytes.count) else { return 0 }
    let start = Int(offset)
    let count = min(buffer.count, node.bytes.count - start)
    node.bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
    }
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ point: ChangePoint) throws(StorageError) {
    grow(to: Int(offset) + bytes.count)
    node.bytes.replaceSubrange(Int(offset)..<Int(offset) + bytes.count, with: bytes)
  }

  func allocate(_ bytes: UInt64, _ point: ChangePoint) throws(StorageError) { grow(to: Int(bytes)) }
  func sync(_ point: SyncPoint) throws(StorageError) {}

  private func grow(to count: Int) {
    if node.bytes.count < count { node.bytes += [UInt8](repeating: 0, count: count - node.bytes.count) }
  }
}
