public import StreamDiffCore

/// An NDJSON file as the source of a session: sorted into a file of its own first, so that the original may
/// change once `scan` has returned.
public struct NDJSONSource: SyncSource {
  private let entries: SortedEntries

  /// - Throws: `AdapterError` that names the line and column of what cannot be read.
  public static func scan(
    _ path: String, excluding exclusions: Exclusions = .none, meter: ScanMeter = ScanMeter()
  ) async throws -> NDJSONSource {
    try await scan(path, excluding: exclusions, meter: meter, bounds: SortBounds())
  }

  package static func scan(
    _ path: String, excluding exclusions: Exclusions = .none, meter: ScanMeter = ScanMeter(),
    bounds: SortBounds
  ) async throws -> NDJSONSource {
    NDJSONSource(
      entries: try await EntryFile.read(path, excluding: exclusions, meter: meter, bounds: bounds))
  }

  public var index: LogIndex { .zero }
  public var tree: MerkleTree { entries.tree }

  public func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    try entries.readRecords(from: lower, to: upper, limit: limit, into: &records)
  }

  public func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws
  {
    try entries.readValues(of: keys, visit)
  }
}
