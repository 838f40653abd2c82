import Foundation
import StreamDiffStorage

/// A directory of its own for one test, removed with it.
final class TemporaryDirectory: Sendable {
  let path: String

  init() {
    path = NSTemporaryDirectory() + "streamdiff-storage-" + UUID().uuidString
    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The files of a RocksDB in use, as a crash of the process and the machine would leave them: nothing
/// flushed on the way out.
/// - Returns: `copy`.
func crashCopy(of state: String, as copy: String) throws(StorageError) -> String {
  let files = FileManager.default
  func manifest() -> [String: Int]? {
    guard let names = try? files.contentsOfDirectory(atPath: state) else { return nil }
    var sizes: [String: Int] = [:]
    for name in names {
      sizes[name] = try? files.attributesOfItem(atPath: state + "/" + name)[.size] as? Int
    }
    return sizes
  }
  // A copy is one moment of the directory only if no compaction ended while it was made.
  for _ in 0..<100 {
    try? files.removeItem(atPath: copy)
    guard let before = manifest(), (try? files.copyItem(atPath: state, toPath: copy)) != nil,
      manifest() == before
    else { continue }
    try PosixFileSystem().remove(copy + "/LOCK", .spareLeftover)
    return copy
  }
  throw StorageError(.io, path: state, "no quiet moment")
}
