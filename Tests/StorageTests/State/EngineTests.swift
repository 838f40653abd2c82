import Simulator
import StreamDiffStorage
import Testing

/// An engine with a directory or an image of its own, that can be crashed.
struct EngineUnderTest: Sendable {
  let open: @Sendable () throws(StorageError) -> any StateEngine
  /// Ends the process, as far as the engine goes, and opens what is left.
  let crash: @Sendable (_ engine: any StateEngine, _ seed: UInt64) throws(StorageError) -> any StateEngine
}

enum EngineKind: CaseIterable, Sendable {
  case rocksDB, memory

  func make(in directory: TemporaryDirectory, _ name: String = "state") -> EngineUnderTest {
    switch self {
    case .rocksDB:
      let path = directory.path + "/" + name
      let configuration = Database.Configuration(writeBufferBytes: 1 << 20, cacheBytes: 1 << 20)
      return EngineUnderTest {
        () throws(StorageError) in
        try Database(opening: path, configuration)
      } crash: { (engine, seed) throws(StorageError) in
        try Database(
          opening: try crashCopy(of: engine.path, as: "\(path)-crash-\(seed)"), configuration)
      }
    case .memory:
      let image = EngineImage()
      return EngineUnderTest { () throws(StorageError) in
        try MemoryEngine("memory", opening: image)
      } crash: { (engine, seed) throws(StorageError) in
        var random = SeededRandom(seed: seed)
        image.crash(using: &random)
        return try MemoryEngine("memory", opening: image)
      }
    }
  }
}

extension StateEngine {
  fileprivate func write(_ changes: [(String, String?)]) throws(StorageError) {
    let batch = makeBatch()
    for (key, value) in changes {
      if let value { batch.put(bytes(key), bytes(value)) } else { batch.delete(bytes(key)) }
    }
    try write(batch, .stateBatch)
  }
}

extension EngineIterator {
  fileprivate func seek(_ key: [UInt8]) { key.withUnsafeBytes { seek($0) } }
}

extension EngineReads {
  fileprivate func get(_ key: String) throws(StorageError) -> String? {
    var found: String?
    try bytes(key).withUnsafeBufferPointer { (key) throws(StorageError) in
      _ = try read(UnsafeRawBufferPointer(key)) { found = String(decoding: $0, as: UTF8.self) }
    }
    return found
  }

  fileprivate func all() throws(StorageError) -> [String] {
    let iterator = iterator()
    iterator.seek([])
    var found: [String] = []
    while iterator.isValid {
      found.append(
        String(decoding: iterator.key, as: UTF8.self) + "=" + String(decoding: iterator.value, as: UTF8.self))
      iterator.next()
    }
    try iterator.check()
    return found
  }
}

@Suite("State engines: one contract")
struct EngineTests {
  private let directory = TemporaryDirectory()

  @Test(
    "a batch is written whole; of two changes of one key the later counts", arguments: EngineKind.allCases)
  func batches(kind: EngineKind) throws {
    let engine = try kind.make(in: directory).open()
    #expect(try engine.latest.get("a") == nil)
    #expect(try engine.latest.all() == [])
    try engine.write([("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("c", nil), ("d", nil), ("d", "5")])
    #expect(try engine.latest.all() == ["a=3", "b=2", "d=5"])
    try engine.write([("b", nil), ("absent", nil), ("", "empty key"), ("e", "")])
    #expect(try engine.latest.all() == ["=empty key", "a=3", "d=5", "e="])
    #expect(try engine.latest.get("e") == "" && engine.latest.get("b") == nil)
    let batch = engine.makeBatch()
    let before = batch.byteCount
    bytes("key").withUnsafeBytes { key in
      bytes("two ").withUnsafeBytes { head in bytes("parts").withUnsafeBytes { batch.put(key, head, $0) } }
    }
    #expect(batch.byteCount >= before + 12)
    #expect(try engine.latest.get("key") == nil)
    try engine.write(batch, .stateBatch)
    #expect(try engine.latest.get("key") == "two parts")
    #expect(try engine.cached.get("key") == "two parts")
  }

  @Test("iterators go by bytes, not by signs or lengths", arguments: EngineKind.allCases)
  func order(kind: EngineKind) throws {
    let engine = try kind.make(in: directory).open()
    let keys: [[UInt8]] = [
      [], [0], [0, 0], [0, 255], [1], [1, 0], [127], [128], [128, 1], [255], [255, 255],
    ]
    let batch = engine.makeBatch()
    for key in keys.reversed() { batch.put(key, key) }
    try engine.write(batch, .stateBatch)
    for (place, start) in keys.enumerated() {
      let iterator = engine.latest.iterator()
      iterator.seek(start)
      for key in keys[place...] {
        #expect(iterator.isValid && Array(iterator.key) == key && Array(iterator.value) == key)
        iterator.next()
      }
      #expect(!iterator.isValid)
      try iterator.check()
      iterator.seek(start + [0, 1])
      #expect(!iterator.isValid || !iterator.key.lexicographicallyPrecedes(start + [0, 1]))
    }
  }

  @Test("snapshots and iterators stay as they were, whatever is written", arguments: EngineKind.allCases)
  func snapshots(kind: EngineKind) throws {
    let engine = try kind.make(in: directory).open()
    try engine.write([("a", "1"), ("b", "1")])
    let first = engine.snapshot()
    let iterator = engine.latest.iterator()
    try engine.write([("a", "2"), ("b", nil), ("c", "2")])
    let second = engine.snapshot()
    try engine.flush(.stateFlush)
    try engine.write([("a", nil), ("c", nil)])
    #expect(try first.all() == ["a=1", "b=1"] && first.get("a") == "1" && first.get("c") == nil)
    #expect(try second.all() == ["a=2", "c=2"] && second.get("b") == nil)
    #expect(try engine.latest.all() == [])
    iterator.seek([])
    #expect(iterator.isValid && Array(iterator.key) == bytes("a") && Array(iterator.value) == bytes("1"))
  }

  @Test(
    "a crash loses a suffix of the batches since the last flush, and no part of one",
    arguments: EngineKind.allCases)
  func crashes(kind: EngineKind) throws {
    for seed in 0..<20 as Range<UInt64> {
      let test = kind.make(in: directory, "\(seed)")
      var random = SeededRandom(seed: seed)
      let engine = try test.open()
      var history: [[String]] = [[]]
      var flushed = 0
      for number in 1...Int.random(in: 1...12, using: &random) {
        try engine.write([("a", "\(number)"), ("key \(number)", "x"), ("key \(number - 3)", nil)])
        history.append(try engine.latest.all())
        if Int.random(in: 0..<4, using: &random) == 0 {
          try engine.flush(.stateFlush)
          flushed = number
        }
      }
      let survivor = try test.crash(engine, seed)
      let left = try survivor.latest.all()
      #expect(history[flushed...].contains(left), "seed \(seed)")
      try survivor.write([("after", "it")])
      #expect(try survivor.latest.get("after") == "it")
    }
  }

  @Test("snapshots and iterators keep an engine open, and others out of it", arguments: EngineKind.allCases)
  func openReads(kind: EngineKind) throws {
    let test = kind.make(in: directory)
    var engine: (any StateEngine)? = try test.open()
    try engine?.write([("a", "1")])
    try engine?.flush(.stateFlush)
    var snapshot = engine?.snapshot()
    var iterator = engine?.latest.iterator()
    engine = nil
    #expect(try snapshot?.get("a") == "1")
    snapshot = nil
    iterator?.seek([])
    #expect(iterator?.isValid == true)
    do {
      _ = try test.open()
      Issue.record("opened twice")
    } catch { #expect(error.code == .locked) }
    iterator = nil
    #expect(try test.open().latest.all() == ["a=1"])
  }
}
