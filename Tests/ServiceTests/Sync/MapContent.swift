import StreamDiffCore
import StreamDiffService
import Synchronization

/// Entries in memory, as a session's source and, through `MapSink`, its sink.
struct MapContent: SyncSource, Hashable {
  var entries: [[UInt8]: [UInt8]]

  init(_ entries: [[UInt8]: [UInt8]] = [:]) { self.entries = entries }

  static func == (a: Self, b: Self) -> Bool { a.entries == b.entries }
  func hash(into hasher: inout Hasher) { hasher.combine(entries) }

  var index: LogIndex { .zero }

  private var records: [DigestRecord] {
    var hash = SHA256()
    return entries.keys.sorted { $0.lexicographicallyPrecedes($1) }.map { key in
      let value = entries[key] ?? []
      return DigestRecord(
        key: key, digest: EntryDigest.of(key: key, value: value, using: &hash), valueBytes: value.count)
    }
  }

  var tree: MerkleTree {
    var builder = MerkleTreeBuilder()
    for record in records {
      builder.append(key: record.key, digest: record.digest, valueBytes: record.valueBytes)
    }
    return builder.finish()
  }

  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    let wanted = self.records.lazy.filter { record in
      !record.key.lexicographicallyPrecedes(lower)
        && (upper.map { record.key.lexicographicallyPrecedes($0) } ?? true)
    }
    records += wanted.prefix(limit)
  }

  func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws {
    for (place, key) in keys.enumerated() {
      guard let value = entries[key] else { throw SyncFailure(.sourceChanged, "a value is gone") }
      try visit(place, value.span.bytes)
    }
  }
}

/// A sink that applies in memory, later and on another thread if it is slow.
final class MapSink: SyncSink {
  private let state: Mutex<MapContent>
  private let applied = Mutex(0)
  private let failsAfter: Int

  /// - Parameter failsAfter: operations that are taken before the sink fails.
  init(_ entries: [[UInt8]: [UInt8]] = [:], failsAfter: Int = .max) {
    state = Mutex(MapContent(entries))
    self.failsAfter = failsAfter
  }

  struct Failure: Error {}

  var entries: [[UInt8]: [UInt8]] { state.withLock { $0.entries } }
  var operations: Int { applied.withLock { $0 } }

  func content() async throws -> any SyncContent { state.withLock { $0 } }

  func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws {
    let total = applied.withLock { applied in
      applied += run.count
      return applied
    }
    guard total <= failsAfter else { return done(.failure(Failure())) }
    let conflicts = state.withLock { content in
      var conflicts = 0
      var hash = SHA256()
      for operation in run.operations.operations {
        let old = content.entries[operation.key].map {
          EntryDigest.of(key: operation.key, value: $0, using: &hash)
        }
        switch operation.expectation {
        case .any: break
        case .absent where old == nil: break
        case .digest(let digest) where old == digest: break
        default:
          conflicts += 1
          continue
        }
        switch operation.change {
        case .put(let value): content.entries[operation.key] = value
        case .delete: content.entries[operation.key] = nil
        }
      }
      return conflicts
    }
    done(.success(AppliedRun(conflicts: conflicts)))
  }

  func seal() async throws -> any SyncContent { state.withLock { $0 } }
}

/// Entries of a test, from a seed.
struct EntryMaker {
  private var random: Mixer

  /// SplitMix64 (Steele, Lea, Flood 2014).
  struct Mixer: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
      return z ^ (z >> 31)
    }
  }

  init(seed: UInt64) { random = Mixer(state: seed) }

  mutating func value(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 60) }
  }

  mutating func entries(_ count: Int, valueBytes: ClosedRange<Int>) -> [[UInt8]: [UInt8]] {
    var entries: [[UInt8]: [UInt8]] = [:]
    while entries.count < count {
      let key = Array("key/\(UInt32(truncatingIfNeeded: random.next()))".utf8)
      entries[key] = value(Int.random(in: valueBytes, using: &random))
    }
    return entries
  }

  /// So many of the entries, the first in key order.
  static func part(of entries: [[UInt8]: [UInt8]], _ count: Int) -> [[UInt8]: [UInt8]] {
    let keys = entries.keys.sorted { $0.lexicographicallyPrecedes($1) }[..<count]
    return entries.filter { keys.contains($0.key) }
  }

  /// Changes, removes and adds about so many entries each.
  mutating func change(_ entries: inout [[UInt8]: [UInt8]], _ count: Int) {
    let keys = entries.keys.sorted { $0.lexicographicallyPrecedes($1) }
    guard !keys.isEmpty else { return }
    for _ in 0..<count {
      entries[keys[Int.random(in: 0..<keys.count, using: &random)]] = value(20)
      entries[keys[Int.random(in: 0..<keys.count, using: &random)]] = nil
      entries[Array("new/\(random.next())".utf8)] = value(30)
    }
  }
}

/// Two ends of a line in memory: what one sends the other receives.
struct MemoryTransport: SyncTransport {
  private let inbox: AsyncStream<SyncMessage>
  private let outbox: AsyncStream<SyncMessage>.Continuation
  private let isClient: Bool

  static func pair() -> (client: MemoryTransport, server: MemoryTransport) {
    let up = AsyncStream.makeStream(of: SyncMessage.self)
    let down = AsyncStream.makeStream(of: SyncMessage.self)
    return (
      MemoryTransport(inbox: down.stream, outbox: up.continuation, isClient: true),
      MemoryTransport(inbox: up.stream, outbox: down.continuation, isClient: false)
    )
  }

  var link: ConnectionLink? { nil }

  func send(_ message: SyncMessage) async throws { outbox.yield(message) }

  func receive() async throws -> SyncMessage? {
    var iterator = inbox.makeAsyncIterator()
    let message = await iterator.next()
    try Task.checkCancellation()
    return message
  }

  func finish() async throws -> Bool {
    outbox.finish()
    return isClient
  }

  /// What a server's end does when its handler returns.
  func close() { outbox.finish() }
}
