import Foundation
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import Synchronization
import Testing

/// From the server's disk to the client's reader: who cannot go on holds up who comes before.
@Suite struct BackPressureTests {
  /// What may be unacknowledged, by the sender's settings; the receiver's credit is above it once it applies.
  private static let inFlight = SyncLimits.leastCredit + (1 << 20)
  /// What a sender has read and the server has not applied, in bytes of values: what may be unacknowledged, and
  /// batches of up to 1 MiB and a value between reading and sending: one being read, one being put, two that
  /// wait, one being cut into chunks.
  private static func bound(valueBytes: Int) -> Int { inFlight + 5 * ((1 << 20) + valueBytes) }

  @Test(
    "while the log's disk does not answer, the client's reader is held; with each sync it goes on",
    .timeLimit(.minutes(2)))
  func slowDisk() async throws {
    let gate = SyncGate()
    let valueBytes = 32 << 10
    let change: (inout ServerConfiguration) -> Void = {
      $0.replica.fileSystem = GatedFileSystem(gate)
    }
    try await withServer(change) { server, client in
      defer { gate.open() }
      let counters = server.replica.counters
      let source = MeteredSource(
        valueBytes: valueBytes, count: 1000, applied: { counters.appliedOperations.value })
      var options = SyncOptions(keyspace: .default, kind: .plain, session: .random())
      // One that uses all there is.
      var settings = AdaptationSettings()
      settings.policy = .fixed
      settings.inflightMax = Self.inFlight
      options.tuning = SessionTuning(settings)
      let session = options
      let isOver = Mutex(false)
      let push = Task {
        defer { isOver.withLock { $0 = true } }
        return try await SyncClient(client, pool: ReadPool(threads: 2, queued: 64)).push(
          source, options: session)
      }
      // The session is open, which took a record of its own: from here on the disk answers when it is told to.
      try await eventually("an open session") {
        options.meter.plainBytes.value > 0 || isOver.withLock { $0 }
      }
      gate.close()
      // Nothing is applied until all of that is used up and the reader has gone on to what waits behind it.
      try await eventually("a reader that is ahead") {
        source.mostAhead > Self.inFlight || isOver.withLock { $0 }
      }
      // Held there over and over: one group of operations becomes durable at a time.
      func unapplied() -> Int {
        Int(options.meter.plainBytes.value) - Int(counters.appliedOperations.value) * valueBytes
      }
      try await eventually("all operations on their way") {
        if unapplied() > Self.inFlight - (512 << 10) { gate.letOnePass() }
        return isOver.withLock { $0 } || options.meter.operations.value >= 1000
      }
      gate.open()
      let report = try await push.value
      #expect(report.operations == 1000)
      #expect(source.mostAhead <= Self.bound(valueBytes: valueBytes), "\(source.mostAhead) bytes ahead")
    }
  }
}

/// Values of one size, and how far their reading ran ahead of the server.
private final class MeteredSource: SyncSource {
  private let records: [DigestRecord]
  let tree: MerkleTree
  private let value: [UInt8]
  private let applied: @Sendable () -> UInt64
  private let state = Mutex((read: 0, most: 0))

  init(valueBytes: Int, count: Int, applied: @escaping @Sendable () -> UInt64) {
    let value = [UInt8](repeating: 7, count: valueBytes)
    var hash = SHA256()
    records = (10_000..<10_000 + count).map { number in
      let key = Array("key \(number)".utf8)
      let digest = EntryDigest.of(key: key, value: value, using: &hash)
      return DigestRecord(key: key, digest: digest, valueBytes: valueBytes)
    }
    var builder = MerkleTreeBuilder()
    for record in records {
      builder.append(key: record.key, digest: record.digest, valueBytes: record.valueBytes)
    }
    (tree, self.value, self.applied) = (builder.finish(), value, applied)
  }

  var index: LogIndex { .zero }
  var mostAhead: Int { state.withLock { $0.most } }

  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    let range = KeyRange(from: lower, to: upper)
    records += self.records.lazy.filter { range.contains($0.key) }.prefix(limit)
  }

  func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws {
    let value = value
    for place in keys.indices {
      state.withLock { state in
        state.read += value.count
        state.most = max(state.most, state.read - Int(applied()) * value.count)
      }
      try visit(place, value.span.bytes)
    }
  }
}

/// Lets syncs of log records through, one at a time or all.
private final class SyncGate: @unchecked Sendable {  // its fields are touched under `condition` alone
  private let condition = NSCondition()
  private var isClosed = false
  private var passes = 0

  func close() { condition.withLock { isClosed = true } }

  func open() {
    condition.withLock {
      isClosed = false
      condition.broadcast()
    }
  }

  func letOnePass() {
    condition.withLock {
      passes = 1
      condition.broadcast()
    }
  }

  func pass() {
    condition.withLock {
      while isClosed, passes == 0 { condition.wait() }
      if isClosed { passes -= 1 }
    }
  }
}

private final class GatedFileSystem: FileSystem {
  private let real = PosixFileSystem()
  private let gate: SyncGate

  init(_ gate: SyncGate) { self.gate = gate }

  func open(_ path: String, _ mode: FileMode) throws(StorageError) -> any File {
    GatedFile(try real.open(path, mode), gate)
  }
  func makeDirectory(_ path: String) throws(StorageError) { try real.makeDirectory(path) }
  func list(_ directory: String) throws(StorageError) -> [String] { try real.list(directory) }
  func rename(_ old: String, to new: String, _ point: ChangePoint) throws(StorageError) {
    try real.rename(old, to: new, point)
  }
  func remove(_ path: String, _ point: ChangePoint) throws(StorageError) { try real.remove(path, point) }
  func syncDirectory(_ path: String, _ point: SyncPoint) throws(StorageError) {
    try real.syncDirectory(path, point)
  }
  func lock(_ path: String) throws(StorageError) -> any FileLock { try real.lock(path) }
  func space(at path: String) throws(StorageError) -> DiskSpace { try real.space(at: path) }
}

private final class GatedFile: File {
  private let real: any File
  private let gate: SyncGate

  init(_ real: any File, _ gate: SyncGate) { (self.real, self.gate) = (real, gate) }

  var path: String { real.path }
  func size() throws(StorageError) -> UInt64 { try real.size() }
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
    try real.read(into: buffer, at: offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ point: ChangePoint) throws(StorageError) {
    try real.write(bytes, at: offset, point)
  }
  func allocate(_ bytes: UInt64, _ point: ChangePoint) throws(StorageError) {
    try real.allocate(bytes, point)
  }
  func sync(_ point: SyncPoint) throws(StorageError) {
    if point == .logRecord { gate.pass() }
    try real.sync(point)
  }
}
