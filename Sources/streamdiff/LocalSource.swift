import Glibc
import StreamDiffCore
import StreamDiffService

/// What SOURCE or PATH is: a directory, or a file of NDJSON.
enum LocalSource {
  case directory(DirectorySource)
  case entries(NDJSONSource)

  /// Reads the whole of it but what is excluded, with a progress bar.
  static func scan(
    _ path: String, excluding exclusions: Exclusions = .none, isQuiet: Bool
  ) async throws -> LocalSource {
    let meter = ScanMeter()
    return try await ProgressBar.show(.scan(meter), isOn: !isQuiet) {
      guard try kind(of: path) == .directory else {
        return .entries(try await NDJSONSource.scan(path, excluding: exclusions, meter: meter))
      }
      let source = try await DirectorySource.scan(path, excluding: exclusions, meter: meter)
      for name in source.skipped { Output.complain("left out: \(name) is no file, directory or link") }
      if source.unfinished > 0 {
        Output.complain("left out: \(source.unfinished) unfinished files of an interrupted pull")
      }
      return .directory(source)
    }
  }

  /// What stands at a path: a directory, or something to be read as NDJSON.
  ///
  /// - Throws: `ClientFailure` when there is nothing.
  static func kind(of path: String) throws(ClientFailure) -> KeyspaceKind {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw ClientFailure(.failed, "\(path): \(String(cString: strerror(errno)))")
    }
    return status.st_mode & S_IFMT == S_IFDIR ? .directory : .plain
  }

  var kind: KeyspaceKind {
    switch self {
    case .directory: .directory
    case .entries: .plain
    }
  }

  var tree: MerkleTree {
    switch self {
    case .directory(let source): source.tree
    case .entries(let source): source.tree
    }
  }

  /// Files and links, or lines with different keys.
  var entries: Int {
    switch self {
    case .directory(let source): source.files
    case .entries(let source): source.tree.count
    }
  }

  /// Of all files, or of all keys and values.
  var bytes: UInt64 {
    switch self {
    case .directory(let source): source.fileBytes
    case .entries(let source): UInt64(source.tree.bytes)
    }
  }

  func push(to client: StreamDiffClient, options: SyncOptions) async throws(ClientFailure) -> SyncReport {
    switch self {
    case .directory(let source): try await client.push(source, options: options)
    case .entries(let source): try await client.push(source, options: options)
    }
  }
}
