import Glibc
public import StreamDiffCore

/// A directory as the source of a session: scanned once, its bytes read again when they are sent.
public struct DirectorySource: SyncSource {
  private let path: String
  private let content: DirectoryContent

  /// Sockets, pipes and devices: left out. Printable.
  public let skipped: [String]
  /// How many files of an interrupted pull were left out.
  public let unfinished: Int

  /// Reads the whole directory but what is excluded.
  ///
  /// - Throws: `AdapterError` that names what could not be read or did not hold still.
  public static func scan(
    _ path: String, excluding exclusions: Exclusions = .none, meter: ScanMeter = ScanMeter()
  ) async throws -> DirectorySource {
    let scan = try await DirectoryScan.run(path, excluding: exclusions, meter: meter)
    return DirectorySource(
      path: path, content: scan.content, skipped: scan.skipped.map { printable($0) },
      unfinished: scan.unfinished.count)
  }

  public var index: LogIndex { .zero }
  public var tree: MerkleTree { content.tree }
  /// Files and links.
  public var files: Int { content.files }
  public var countedEntries: Int { files }
  /// Bytes of all files.
  public var fileBytes: UInt64 { content.entries.reduce(0) { $0 + ($1.file?.size ?? 0) } }

  public func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    try content.readRecords(from: lower, to: upper, limit: limit, into: &records)
  }

  /// Reads what the keys stand for and checks it against the digest that the scan found.
  ///
  /// - Throws: `SyncFailure` (`.sourceChanged`) naming the file when it is not what was scanned.
  public func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws
  {
    var reader = try PieceReader(Beneath(opening: path))
    var entry: DirectoryEntry?
    for (place, key) in keys.enumerated() {
      let decoded = try DirectoryKey(decoding: key.span)
      if entry?.path != decoded.path { entry = content.entry(decoded.path) }
      guard let entry else { throw foreign(key) }
      switch decoded.tail {
      case .record:
        try visit(place, entry.record.encode().span.bytes)
      case .part(let digest):
        guard let file = entry.file, let part = file.part(digest) else { throw foreign(key) }
        try visit(place, file.bytes(of: part).span.bytes)
      case .piece(let digest):
        guard let piece = entry.file?.piece(digest) else { throw foreign(key) }
        do {
          try reader.read(piece, of: entry.path) { try visit(place, $0.bytes) }
        } catch let error as AdapterError where error.code == .changed || error.code == .refused {
          // Refused: a directory on its way has become something else.
          throw SyncFailure(.sourceChanged, error.description)
        }
      }
    }
  }

  private func foreign(_ key: [UInt8]) -> SyncFailure {
    SyncFailure(.sourceChanged, "\(printable(DirectoryKey.path(of: key))) was not scanned")
  }
}
