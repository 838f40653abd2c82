import StreamDiffCore

extension SyncContent {
  /// Answers a machine's request: a page of records over its ranges.
  /// - Returns: the records, and whether all ranges are exhausted.
  func answer(_ request: RecordRequest) throws -> (records: [DigestRecord], isEnd: Bool) {
    var records: [DigestRecord] = []
    var keyBytes = 0
    for range in request.ranges {
      let room = SyncLimits.recordsPerRead - records.count
      guard room > 0 else { return (records, false) }
      let start = records.count
      try readRecords(from: range.lower, to: range.upper, limit: room, into: &records)
      for place in start..<records.count {
        keyBytes += records[place].key.count
        guard keyBytes >= SyncLimits.keyBytesPerRead, place + 1 < records.count else { continue }
        records.removeSubrange((place + 1)...)
        return (records, false)
      }
      if records.count == SyncLimits.recordsPerRead || keyBytes >= SyncLimits.keyBytesPerRead {
        return (records, false)
      }
    }
    return (records, true)
  }
}
