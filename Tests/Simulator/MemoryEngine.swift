public import StreamDiffStorage
import Synchronization

/// What a `MemoryEngine` leaves behind: the only thing of it that a crash does not take.
public final class EngineImage: Sendable {
  struct State: Sendable {
    /// As of the last flush.
    var durable = MemoryTable()
    /// Batches since, oldest first.
    var unflushed: [[MemoryTable.Change]] = []
    /// Held by an engine.
    var isOpen = false
    /// Rises with each crash: engines of an earlier life do nothing any more.
    var life = 0
  }

  let state = Mutex(State())

  public init() {}

  /// Another with the same content, which no engine has.
  func copy() -> EngineImage {
    let copy = EngineImage()
    let found = state.withLock { $0 }
    copy.state.withLock { ($0.durable, $0.unflushed) = (found.durable, found.unflushed) }
    return copy
  }

  /// The process ended, however: what no flush covers is gone, but for some of the oldest batches, since
  /// an engine may write files by itself.
  public func crash(using random: inout some RandomNumberGenerator) {
    let count = state.withLock { $0.unflushed.count }
    let kept = Bool.random(using: &random) ? 0 : Int.random(in: 0...count, using: &random)
    state.withLock { state in
      for batch in state.unflushed.prefix(kept) { state.durable.apply(batch) }
      state.unflushed = []
      state.isOpen = false
      state.life += 1
    }
  }
}

/// What a test makes an engine's calls do.
public struct EngineFaults: Sendable {
  /// Asked before each call; what it throws is what the call throws, and a failed write or flush is final.
  public var onWrite: @Sendable (ChangePoint) throws(StorageError) -> Void = { _ in }
  public var onFlush: @Sendable (SyncPoint) throws(StorageError) -> Void = { _ in }
  public var onRead: @Sendable () throws(StorageError) -> Void = {}
  /// Whether a flush does what it says; one that does not says that it did.
  public var flushes: @Sendable (SyncPoint) -> Bool = { _ in true }
  /// Whether memory holds what a read asks for.
  public var isCached: @Sendable () -> Bool = { true }

  public init() {}
}

/// The state's engine without RocksDB: forgets in a crash what no flush covered.
public final class MemoryEngine: StateEngine {
  private struct Current: Sendable {
    var table: MemoryTable
    /// Of the first write or flush that failed.
    var failure: StorageError?
  }

  public let path: String
  let faults: EngineFaults
  private let image: EngineImage
  private let life: Int
  private let current: Mutex<Current>

  /// - Throws: `.locked` while another engine has the image.
  public init(
    _ path: String, opening image: EngineImage, faults: EngineFaults = EngineFaults()
  ) throws(StorageError) {
    (self.path, self.image, self.faults) = (path, image, faults)
    let found: (table: MemoryTable, life: Int)? = image.state.withLock { state in
      guard !state.isOpen else { return nil }
      state.isOpen = true
      // After an orderly close nothing is left to a log of its own: what was not flushed is gone.
      state.unflushed = []
      return (state.durable, state.life)
    }
    guard let found else { throw StorageError(.locked, path: path, "another engine has it") }
    life = found.life
    current = Mutex(Current(table: found.table))
  }

  deinit {
    image.state.withLock { state in
      if state.life == life { state.isOpen = false }
    }
  }

  public var latest: any EngineReads { MemoryReads(engine: self, snapshot: nil, isCached: false) }
  public var cached: any EngineReads { MemoryReads(engine: self, snapshot: nil, isCached: true) }
  public func snapshot() -> any EngineReads { MemoryReads(engine: self, snapshot: table, isCached: false) }
  public func makeBatch() -> any EngineBatch { MemoryBatch() }

  var table: MemoryTable { current.withLock { $0.table } }

  public func write(_ batch: any EngineBatch, _ point: ChangePoint) throws(StorageError) {
    guard let batch = batch as? MemoryBatch else { preconditionFailure("a batch of another engine") }
    try final { () throws(StorageError) in
      try faults.onWrite(point)
      try change { $0.unflushed.append(batch.changes) }
      current.withLock { $0.table.apply(batch.changes) }
    }
  }

  public func flush(_ point: SyncPoint) throws(StorageError) {
    try final { () throws(StorageError) in
      try faults.onFlush(point)
      guard faults.flushes(point) else { return }
      try change { state in
        for batch in state.unflushed { state.durable.apply(batch) }
        state.unflushed = []
      }
    }
  }

  private func final(_ body: () throws(StorageError) -> Void) throws(StorageError) {
    if let failure = current.withLock({ $0.failure }) { throw failure }
    do throws(StorageError) {
      try body()
    } catch {
      current.withLock { $0.failure = error }
      throw error
    }
  }

  private func change(_ body: (inout EngineImage.State) -> Void) throws(StorageError) {
    let isOurs = image.state.withLock { state in
      guard state.life == life else { return false }
      body(&state)
      return true
    }
    guard isOurs else { throw StorageError(.io, path: path, "the process has died") }
  }
}

private struct MemoryReads: EngineReads {
  let engine: MemoryEngine
  /// `nil`: whatever is latest.
  let snapshot: MemoryTable?
  let isCached: Bool

  var path: String { engine.path }

  func read(
    _ key: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) -> Bool {
    try engine.faults.onRead()
    guard !isCached || engine.faults.isCached() else {
      throw StorageError(.notCached, path: path, "by a test")
    }
    guard let value = (snapshot ?? engine.table).value(of: Array(key)) else { return false }
    try lend(value, body)
    return true
  }

  func iterator() -> any EngineIterator { MemoryIterator(engine, snapshot ?? engine.table) }

  private func lend(
    _ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    try bytes.withUnsafeBufferPointer { (buffer) throws(StorageError) in
      try body(UnsafeRawBufferPointer(buffer))
    }
  }
}

private final class MemoryIterator: EngineIterator {
  private let engine: MemoryEngine
  private let table: MemoryTable
  private var place: Int
  private var failure: StorageError?
  /// What the accessors lend, until the next move.
  private var lent: [UnsafeMutableRawBufferPointer] = []

  init(_ engine: MemoryEngine, _ table: MemoryTable) {
    (self.engine, self.table) = (engine, table)
    place = table.records.count
  }

  deinit { release() }

  func seek(_ key: UnsafeRawBufferPointer) {
    failure = nil
    move(to: table.index(of: Array(key)))
  }

  func next() {
    precondition(isValid, "moved on from no record")
    move(to: place + 1)
  }

  var isValid: Bool { failure == nil && place < table.records.count }
  func check() throws(StorageError) { if let failure { throw failure } }
  var key: UnsafeRawBufferPointer { lend(table.records[place].key) }
  var value: UnsafeRawBufferPointer { lend(table.records[place].value) }

  private func move(to place: Int) {
    release()
    self.place = place
    do throws(StorageError) { try engine.faults.onRead() } catch { failure = error }
  }

  private func lend(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 8)
    copy.copyBytes(from: bytes)
    lent.append(copy)
    return UnsafeRawBufferPointer(copy)
  }

  private func release() {
    for copy in lent { copy.deallocate() }
    lent = []
  }
}

private final class MemoryBatch: EngineBatch {
  private(set) var changes: [MemoryTable.Change] = []
  private(set) var byteCount = 0

  func put(_ key: UnsafeRawBufferPointer, _ head: UnsafeRawBufferPointer, _ rest: UnsafeRawBufferPointer) {
    append(Array(key), Array(head) + Array(rest))
  }
  func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    append(Array(key), Array(value))
  }
  func delete(_ key: UnsafeRawBufferPointer) { append(Array(key), nil) }

  private func append(_ key: [UInt8], _ value: [UInt8]?) {
    changes.append((key, value))
    byteCount += 12 + key.count + (value?.count ?? 0)
  }
}
