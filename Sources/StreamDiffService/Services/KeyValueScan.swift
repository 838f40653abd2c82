import NIOCore
import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

extension KeyValueService {
  /// Keys and values of one page, beyond the entry that exceeds it.
  private static let pageBytes = 256 << 10
  /// Entries of one page: small ones cost more than their bytes.
  private static let pageEntries = 8192
  /// Bytes of the longest page, encoded: an entry of the largest key and value, or so many small ones.
  package static let longestPage = Limits.valueBytes + Limits.keyBytes + (128 << 10)

  /// A page as it leaves, and where the next one begins.
  private struct Page: Sendable {
    var message: ByteBuffer
    var entries: Int
    var last: [UInt8]
    var isLast: Bool
  }

  /// Streams pages of one view. Each page is read by itself, on a reading thread, and only when its connection
  /// has room for it: nothing but the view is held while a slow client is waited for.
  @Sendable func scan(_ stream: ServerStream) async throws {
    do {
      guard let bytes = try await stream.next() else {
        throw GRPCStatus(.invalidArgument, "a scan takes one request; there was none")
      }
      let request = try ScanRequest(decoding: bytes)
      let keyspace = try Self.keyspace(request.keyspace)
      guard request.prefix.count <= Limits.keyBytes, request.after.count <= Limits.keyBytes else {
        throw GRPCStatus(.invalidArgument, "prefix and after are keys of at most \(Limits.keyBytes) bytes")
      }
      let activity = CallActivity()
      let tooLong = GRPCStatus(
        .deadlineExceeded, "no page could leave for \(SessionLimits.scanPage): scan again after the last key")
      try await activity.run(limit: SessionLimits.scanPage, tooLong: tooLong) {
        let view = try await replica.pool.run { try replica.view() }
        try await sendPages(of: view, keyspace, request, to: stream, activity)
      }
      counters.scan.add(1)
    } catch {
      replica.noteDamage(error)
      throw GRPCStatus(mapping: error)
    }
  }

  private func sendPages(
    of view: StateView, _ keyspace: KeyspaceName, _ request: ScanRequest, to stream: ServerStream,
    _ activity: CallActivity
  ) async throws {
    guard let record = view.keyspace(named: keyspace) else {
      return try await stream.send(ScanResponse(entries: [], index: view.index, kind: nil).encode())
    }
    // What lies before the prefix is no place to go on from.
    var after =
      request.after.isEmpty || request.after.lexicographicallyPrecedes(request.prefix) ? nil : request.after
    var left = request.limit == 0 ? Int.max : Int(clamping: request.limit)
    var isFirst = true
    while left > 0 {
      let (start, count) = (after, min(left, Self.pageEntries))
      try await stream.room(for: Self.longestPage)
      let page = try await replica.pool.run {
        try Self.page(of: view, record, request, after: start, maximumEntries: count)
      }
      guard let page else { break }
      left -= page.entries
      after = page.last
      isFirst = false
      try await stream.send(page.message)
      activity.touch()
      if page.isLast { return }
    }
    if isFirst {
      try await stream.send(ScanResponse(entries: [], index: view.index, kind: record.kind).encode())
    }
  }

  /// - Returns: `nil` when nothing follows.
  private static func page(
    of view: StateView, _ record: KeyspaceRecord, _ request: ScanRequest, after: [UInt8]?, maximumEntries: Int
  ) throws(StorageError) -> Page? {
    let page = try view.scan(
      in: record, prefix: request.prefix, after: after, maximumEntries: maximumEntries,
      maximumBytes: pageBytes)
    guard let last = page.entries.last else { return nil }
    let entries = page.entries.map {
      ScanResponse.Entry(key: $0.key, value: request.keysOnly ? [] : $0.value)
    }
    return Page(
      message: ScanResponse(entries: entries, index: view.index, kind: record.kind).encode(),
      entries: entries.count, last: last.key, isLast: page.isLast)
  }
}
