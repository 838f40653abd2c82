import Foundation
import Simulator
import StreamDiffCore
import StreamDiffStorage
import Testing

func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

extension StateStoreTransaction {
  func put(_ key: [UInt8], _ value: [UInt8], in keyspace: KeyspaceRecord) throws(StorageError) {
    var hash = SHA256()
    let digest = EntryDigest.of(key: key, value: value, using: &hash)
    try put(key: key.span, value: value.span, digest: digest, in: keyspace)
  }

  func delete(_ key: [UInt8], in keyspace: KeyspaceRecord) throws(StorageError) {
    try delete(key: key.span, in: keyspace)
  }
}

/// The position that `content` must have.
func expectedPosition(_ content: [[UInt8]: [UInt8]]) -> KeyspacePosition {
  var builder = MerkleTreeBuilder()
  var hash = SHA256()
  var size = 0
  for (key, value) in content.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
    builder.append(
      key: key, digest: EntryDigest.of(key: key, value: value, using: &hash), valueBytes: value.count)
    size += key.count + value.count
  }
  return KeyspacePosition(root: builder.finish().root, entries: content.count, bytes: size)
}

@Suite("State store")
struct StateStoreTests {
  private let directory = TemporaryDirectory()

  private func open() throws(StorageError) -> StateStore { try StateStore.open(directory.path + "/state") }

  @Test("an empty store is at index zero and knows no keyspace")
  func empty() throws {
    let store = try open()
    #expect(store.recoveredIndex == .zero && store.appliedIndex == .zero && store.keyspaces.isEmpty)
    #expect(try store.get(bytes("a"), in: .default) == .absent(.zero))
    let view = try store.view()
    #expect(view.index == .zero && view.keyspaces.isEmpty)
  }

  @Test("a batch sees its own changes; others see all of it at its commit, or nothing")
  func transactions() throws {
    let store = try open()
    let key = bytes("k")
    let first = try store.transaction()
    let keyspace = try first.createKeyspace(.default, kind: .plain)
    #expect(try first.keyspace(named: .default) == keyspace)
    #expect(try first.digest(of: key.span, in: keyspace) == nil)
    try first.put(key, bytes("one"), in: keyspace)
    let one = try first.digest(of: key.span, in: keyspace)
    #expect(one != nil)
    try first.put(key, bytes("two"), in: keyspace)
    #expect(try first.digest(of: key.span, in: keyspace) != one)
    #expect(try first.position(of: keyspace) == expectedPosition([key: bytes("two")]))
    #expect(store.keyspace(named: .default) == nil)
    #expect(try store.get(key, in: .default) == .absent(.zero))
    try store.commit(first, appliedIndex: LogIndex(1), term: Term(1))
    #expect(try store.get(key, in: .default) == .found(bytes("two"), LogIndex(1)))

    let second = try store.transaction()
    try second.delete(key, in: keyspace)
    #expect(try second.digest(of: key.span, in: keyspace) == nil)
    #expect(try second.position(of: keyspace) == .empty)
    let dropped = try store.transaction()
    #expect(try dropped.digest(of: key.span, in: keyspace) != nil)
    try store.commit(second, appliedIndex: LogIndex(2), term: Term(1))
    #expect(try store.get(key, in: .default) == .absent(LogIndex(2)))
  }

  @Test("a read that must not wait answers from memory, or says that it would")
  func nonBlocking() throws {
    var store: StateStore? = try open()
    let transaction = try store?.transaction()
    if let transaction {
      let keyspace = try transaction.createKeyspace(.default, kind: .plain)
      for index in 0..<1000 {
        try transaction.put(bytes("key \(index)"), bytes("value \(index)"), in: keyspace)
      }
      try store?.commit(transaction, appliedIndex: LogIndex(9), term: Term(2))
    }
    #expect(
      try store?.get(bytes("key 7"), in: .default, blocking: false) == .found(bytes("value 7"), LogIndex(9)))
    try store?.close()
    store = nil
    let again = try open()
    #expect(again.recoveredIndex == LogIndex(9) && again.recoveredTerm == Term(2))
    // Nothing of the file is in the cache yet, except what opening read.
    #expect(try again.get(bytes("key 7"), in: .default, blocking: false) == .wouldBlock)
    #expect(try again.get(bytes("key 7"), in: .default) == .found(bytes("value 7"), LogIndex(9)))
    #expect(
      try again.get(bytes("key 7"), in: .default, blocking: false) == .found(bytes("value 7"), LogIndex(9)))
    #expect(try again.get(bytes("nothing"), in: .default) == .absent(LogIndex(9)))
  }

  @Test("a view stays as it was, whatever commits meanwhile, and outlives the store")
  func views() throws {
    var store: StateStore? = try open()
    let first = try store?.transaction()
    guard let first else { return }
    let keyspace = try first.createKeyspace(.default, kind: .plain)
    var content: [[UInt8]: [UInt8]] = [:]
    for index in 0..<300 {
      content[bytes("key \(index)")] = bytes("value \(index)")
      try first.put(bytes("key \(index)"), bytes("value \(index)"), in: keyspace)
    }
    try store?.commit(first, appliedIndex: LogIndex(1), term: Term(1))
    let view = try #require(try store?.view())
    let second = try #require(try store?.transaction())
    for index in 0..<300 { try second.put(bytes("key \(index)"), bytes("changed"), in: keyspace) }
    _ = try second.createKeyspace(try #require(KeyspaceName("other")), kind: .directory)
    try store?.commit(second, appliedIndex: LogIndex(2), term: Term(1))
    try store?.close()
    #expect(throws: StorageError.self) { try store?.view() }
    store = nil

    #expect(view.index == LogIndex(1) && view.keyspaces == [keyspace])
    #expect(try view.position(of: keyspace) == expectedPosition(content))
    #expect(try view.get(bytes("key 42"), in: keyspace) == bytes("value 42"))
    #expect(try view.get(bytes("key"), in: keyspace) == nil)
    let sorted = content.keys.sorted { $0.lexicographicallyPrecedes($1) }
    var asked = sorted.enumerated().filter { $0.offset % 7 < 3 || $0.offset % 50 > 40 }.map(\.element)
    asked.insert(bytes("absent"), at: 0)
    asked.append(bytes("zzz"))
    let values = try view.values(of: asked, in: keyspace)
    #expect(values == asked.map { content[$0] })
  }

  @Test("a scan brings every entry under a prefix once, in order, page by page")
  func scans() throws {
    let store = try open()
    let transaction = try store.transaction()
    let keyspace = try transaction.createKeyspace(.default, kind: .plain)
    let other = try transaction.createKeyspace(try #require(KeyspaceName("other")), kind: .plain)
    var expected: [ScanPage.Entry] = []
    for index in 100..<400 {
      let entry = ScanPage.Entry(key: bytes("a\(index)"), value: [UInt8](repeating: 1, count: index % 50))
      expected.append(entry)
      try transaction.put(entry.key, entry.value, in: keyspace)
    }
    try transaction.put(bytes("b"), bytes("x"), in: keyspace)
    try transaction.put([0xff, 0xff], [], in: keyspace)
    try transaction.put(bytes("a1"), bytes("not this keyspace"), in: other)
    try store.commit(transaction, appliedIndex: LogIndex(1), term: Term(1))
    let view = try store.view()
    for (limit, size) in [(7, Int.max), (1, .max), (1000, 500), (1000, 0), (1000, .max)] {
      var found: [ScanPage.Entry] = []
      while true {
        let page = try view.scan(
          in: keyspace, prefix: bytes("a"), after: found.last?.key, maximumEntries: limit, maximumBytes: size)
        #expect(page.entries.count <= limit)
        found += page.entries
        if page.isLast { break }
      }
      #expect(found == expected)
    }
    #expect(try view.scan(in: keyspace, maximumEntries: 1000, maximumBytes: .max).entries.count == 302)
    #expect(
      try view.scan(in: other, maximumEntries: 10, maximumBytes: .max).entries.map(\.key) == [bytes("a1")])
    #expect(
      try view.digests(in: keyspace, ranges: [(bytes("a2"), bytes("a204")), (bytes("b"), nil)]).map(\.key)
        == ["a200", "a201", "a202", "a203", "b"].map(bytes) + [[0xff, 0xff]])
    #expect(try view.digests(in: keyspace, ranges: [([], nil)], limit: 5).count == 5)
  }

  @Test("roots follow content alone, over random batches, refreshes, restarts and crashes", arguments: 0..<6)
  func randomHistory(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    var store: StateStore? = try open()
    var content: [[UInt8]: [UInt8]] = [:]
    /// Content after each commit: what a crash may go back to.
    var history: [LogIndex: [[UInt8]: [UInt8]]] = [.zero: [:]]
    var index = LogIndex.zero
    var flushed = LogIndex.zero
    for round in 0..<40 {
      guard let current = store else { return }
      let transaction = try current.transaction()
      let known = try transaction.keyspace(named: .default)
      let keyspace = try known ?? transaction.createKeyspace(.default, kind: .plain)
      for _ in 0..<Int.random(in: 1...120, using: &random) {
        let key = bytes("key \(Int.random(in: 0..<900, using: &random))")
        if Int.random(in: 0..<3, using: &random) == 0 {
          try transaction.delete(key, in: keyspace)
          content[key] = nil
        } else {
          let value = bytes("value \(Int.random(in: 0..<9, using: &random))")
          try transaction.put(key, value, in: keyspace)
          content[key] = value
        }
        if Int.random(in: 0..<60, using: &random) == 0 {
          #expect(try transaction.position(of: keyspace) == expectedPosition(content))
        }
      }
      index = index + 1
      try current.commit(transaction, appliedIndex: index, term: Term(1))
      history[index] = content
      switch Int.random(in: 0..<6, using: &random) {
      case 0: flushed = try current.flush()
      case 1:
        let view = try current.view()
        #expect(try view.position(of: keyspace) == expectedPosition(content))
      case 2:
        let refresh = try current.transaction()
        #expect(try refresh.position(of: keyspace) == expectedPosition(content))
        try current.commit(refresh, appliedIndex: index, term: Term(1))
      case 3:
        let crashed = try StateStore.open(
          try crashCopy(of: directory.path + "/state", as: directory.path + "/crash \(round)"))
        #expect(crashed.recoveredIndex >= flushed && crashed.recoveredIndex <= index)
        let expected = try #require(history[crashed.recoveredIndex])
        let view = try crashed.view()
        if let keyspace = view.keyspace(named: .default) {
          #expect(try view.position(of: keyspace) == expectedPosition(expected))
          let page = try view.scan(in: keyspace, maximumEntries: .max, maximumBytes: .max)
          #expect(page.entries.count == expected.count)
          #expect(page.entries.allSatisfy { expected[$0.key] == $0.value })
        } else {
          #expect(expected.isEmpty)
        }
      case 4:
        try current.close()
        flushed = index
        store = nil
        store = try open()
        #expect(store?.recoveredIndex == index)
      default: break
      }
    }
  }

  @Test("the tree of a store reopened while dirty is refreshed by reading only what was touched since")
  func dirtyMarksPersist() throws {
    var store: StateStore? = try open()
    var content: [[UInt8]: [UInt8]] = [:]
    if let store {
      let transaction = try store.transaction()
      let keyspace = try transaction.createKeyspace(.default, kind: .plain)
      for index in 0..<2000 {
        content[bytes("key \(index)")] = bytes("value")
        try transaction.put(bytes("key \(index)"), bytes("value"), in: keyspace)
      }
      _ = try transaction.position(of: keyspace)
      for index in stride(from: 0, to: 2000, by: 500) {
        content[bytes("key \(index)")] = bytes("other")
        try transaction.put(bytes("key \(index)"), bytes("other"), in: keyspace)
      }
      try store.commit(transaction, appliedIndex: LogIndex(1), term: Term(1))
      try store.close()
    }
    store = nil
    let again = try open()
    let keyspace = try #require(again.keyspace(named: .default))
    let refresh = try again.transaction()
    #expect(try refresh.position(of: keyspace) == expectedPosition(content))
    try again.commit(refresh, appliedIndex: LogIndex(1), term: Term(1))
    #expect(try again.view().tree(of: keyspace).isClean)
  }

  @Test("a state in use is refused by name")
  func inUse() throws {
    let store = try open()
    do {
      _ = try open()
      Issue.record("opened twice")
    } catch { #expect(error.code == .locked && error.path == directory.path + "/state") }
    _ = store
  }

  @Test("an entry that is not what its digest says is never served: by get, scan, or in a batch of values")
  func alteredValue() throws {
    let store = try open()
    let transaction = try store.transaction()
    let keyspace = try transaction.createKeyspace(.default, kind: .plain)
    var hash = SHA256()
    let key = bytes("b")
    let other = EntryDigest.of(key: key, value: bytes("written"), using: &hash)
    try transaction.put(bytes("a"), bytes("right"), in: keyspace)
    try transaction.put(key: key.span, value: bytes("altered").span, digest: other, in: keyspace)
    try store.commit(transaction, appliedIndex: LogIndex(1), term: Term(1))
    let view = try store.view()
    let reads: [() throws -> Void] = [
      { _ = try store.get(key, in: .default) }, { _ = try view.get(key, in: keyspace) },
      { _ = try view.values(of: [bytes("a"), key], in: keyspace) },
      { _ = try view.scan(in: keyspace, maximumEntries: 10, maximumBytes: .max) },
    ]
    for read in reads {
      do {
        try read()
        Issue.record("served")
      } catch let error as StorageError {
        #expect(error.code == .damaged && error.detail.contains("key 62 (hex) in keyspace default"))
      }
    }
    #expect(try view.values(of: [bytes("a")], in: keyspace) == [bytes("right")])
  }

  @Test("a byte flipped anywhere in the files is an error or harmless, never another value")
  func flippedFiles() throws {
    var content: [[UInt8]: [UInt8]] = [:]
    do {
      let store = try open()
      let transaction = try store.transaction()
      let keyspace = try transaction.createKeyspace(.default, kind: .plain)
      for index in 0..<400 {
        content[bytes("key \(index)")] = bytes("value \(index)")
        try transaction.put(bytes("key \(index)"), bytes("value \(index)"), in: keyspace)
      }
      try store.commit(transaction, appliedIndex: LogIndex(1), term: Term(1))
      try store.close()
    }
    let state = directory.path + "/state"
    let names = try PosixFileSystem().list(state).filter { $0.hasSuffix(".sst") }
    let table = state + "/" + (try #require(names.first))
    let size = try #require(FileManager.default.contents(atPath: table)).count
    var random = SeededRandom(seed: 3)
    var found = 0
    for _ in 0..<24 {
      let offset = UInt64(Int.random(in: 0..<size, using: &random))
      func flip() throws {
        let file = try PosixFileSystem().open(table, .write)
        var byte: UInt8 = 0
        try withUnsafeMutableBytes(of: &byte) { _ = try file.read(into: $0, at: offset) }
        byte ^= 16
        try withUnsafeBytes(of: byte) { try file.write($0, at: offset, .stateBatch) }
      }
      try flip()
      do throws(StorageError) {
        let store = try open()
        for (key, value) in content {
          guard case .found(value, _) = try store.get(key, in: .default) else {
            Issue.record("another value, offset \(offset)")
            break
          }
        }
      } catch {
        found += 1
        #expect(error.code == .damaged || error.code == .io, "\(error)")
      }
      try flip()
    }
    #expect(found > 5)
  }
}
