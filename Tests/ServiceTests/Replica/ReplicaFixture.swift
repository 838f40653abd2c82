import Glibc
import Logging
import Simulator
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage

/// A directory of its own, removed at the end.
final class ReplicaDirectory: Sendable {
  let path: String

  init() {
    var template = Array("/tmp/streamdiff-replica-XXXXXX".utf8CString)
    precondition(mkdtemp(&template) != nil, "mkdtemp: \(errno)")
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { Self.remove(path) }

  /// Everything beneath, without following links.
  private static func remove(_ path: String) {
    if let stream = opendir(path) {
      while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard name != ".", name != ".." else { continue }
        let child = path + "/" + name
        if unlink(child) != 0 { remove(child) }
      }
      closedir(stream)
    }
    rmdir(path)
  }
}

extension Replica.Configuration {
  /// With a small log, and no spare segments but those asked for.
  static func test(_ directory: ReplicaDirectory, _ name: String = "data") -> Self {
    var configuration = Self(directory: directory.path + "/" + name)
    configuration.limits.segmentBytes = 4 << 20
    return configuration
  }

  static func test(on disk: VirtualDisk) -> Self {
    var configuration = Self(directory: "data")
    configuration.use(disk)
    return configuration
  }

  /// Files and state in memory.
  mutating func use(_ disk: VirtualDisk) {
    limits.segmentBytes = 1 << 20
    fileSystem = disk
    openState = { (path, _) throws(StorageError) in try StateStore.open(on: disk.engine(path)) }
  }
}

extension Replica {
  static func test(_ configuration: Configuration) throws -> Replica {
    try Replica(opening: configuration, logger: .quiet)
  }

  /// One put or delete, waited for.
  @discardableResult
  func write(
    _ key: String, _ value: String?, expecting expectation: Expectation = .any,
    in keyspace: KeyspaceName = .default
  ) async throws -> Applied {
    try await propose(.write(key, value, expecting: expectation, in: keyspace))
  }

  func read(_ key: String, in keyspace: KeyspaceName = .default) throws -> String? {
    let view = try view()
    guard let record = view.keyspace(named: keyspace) else { return nil }
    return try view.get(Array(key.utf8), in: record).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension Command {
  static func write(
    _ key: String, _ value: String?, expecting expectation: Expectation = .any,
    in keyspace: KeyspaceName = .default
  ) throws -> Command {
    let operation = Operation(
      key: Array(key.utf8), expectation: expectation,
      change: value.map { .put(value: Array($0.utf8)) } ?? .delete)
    return .operations(
      OperationBatch(keyspace: keyspace, kind: .plain, operations: try EncodedOperations([operation])))
  }
}

extension Logger {
  static var quiet: Logger {
    Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
  }
}
