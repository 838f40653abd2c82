import Foundation
import StreamDiffCore
import StreamDiffStorage
import Testing

/// The files of a directory and what is in them.
private func contents(of directory: String) throws -> [String: Data] {
  var contents: [String: Data] = [:]
  for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
    contents[name] = try Data(contentsOf: URL(filePath: directory + "/" + name))
  }
  return contents
}

@Suite("A state of which files are missing")
struct MissingFilesTests {
  private let directory = TemporaryDirectory()
  private var state: String { directory.path + "/state" }

  /// A state at entry 2 with one table file.
  private func makeState() throws {
    let store = try StateStore.open(state)
    let transaction = try store.transaction()
    let keyspace = try transaction.createKeyspace(.default, kind: .plain)
    try transaction.put(bytes("key"), bytes("value"), in: keyspace)
    try store.commit(transaction, appliedIndex: LogIndex(2), term: Term(1))
    try store.close()
  }

  private static func demand(_ logBegins: UInt64) -> StateDemand {
    StateDemand(logBegins: LogIndex(logBegins)) { (applied) throws(StorageError) in
      guard LogIndex(logBegins) <= applied + 1 else { throw StorageError(.damaged, path: "wal", "a gap") }
    }
  }

  @Test(
    "whichever is missing is named and nothing is changed; put back, it gives everything back",
    arguments: ["CURRENT", "MANIFEST-", ".sst"], [UInt64(1), 3])
  func missing(kind: String, logBegins: UInt64) throws {
    try makeState()
    let name = try #require(try contents(of: state).keys.first { $0.hasPrefix(kind) || $0.hasSuffix(kind) })
    let (file, aside) = (state + "/" + name, directory.path + "/aside")
    try FileManager.default.moveItem(atPath: file, toPath: aside)
    let before = try contents(of: state)
    for _ in 0..<2 {
      let error = #expect(throws: StorageError.self) {
        try StateStore.open(state, for: Self.demand(logBegins))
      }
      #expect(error?.code == .damaged)
      #expect(error?.path == file)
      #expect(try contents(of: state) == before)
    }
    try FileManager.default.moveItem(atPath: aside, toPath: file)
    let store = try StateStore.open(state, for: Self.demand(logBegins))
    #expect(store.recoveredIndex == LogIndex(2))
    #expect(try store.get(bytes("key"), in: .default) == .found(bytes("value"), LogIndex(2)))
  }

  @Test("a state that ends before its log begins is refused with nothing changed")
  func gap() throws {
    try makeState()
    let before = try contents(of: state)
    #expect(throws: StorageError.self) { try StateStore.open(state, for: Self.demand(4)) }
    #expect(try contents(of: state) == before)
  }

  @Test("no state at all is one to be made anew, where the log has everything, and only there")
  func none() throws {
    let error = #expect(throws: StorageError.self) { try StateStore.open(state, for: Self.demand(2)) }
    #expect(error?.code == .damaged)
    #expect(error?.path == state + "/CURRENT")
    #expect(!FileManager.default.fileExists(atPath: state))
    #expect(try StateStore.open(state, for: Self.demand(1)).recoveredIndex == .zero)
  }

  @Test(
    "whatever a first start leaves that ends while it makes the state, the next one starts",
    arguments: [
      [], ["LOCK"], ["LOCK", "LOG"], ["IDENTITY", "LOCK", "LOG"],
      ["IDENTITY", "LOCK", "LOG", "000001.dbtmp"],
      ["IDENTITY", "LOCK", "LOG", "MANIFEST-000001"],
      ["IDENTITY", "LOCK", "LOG", "MANIFEST-000001", "000001.dbtmp"],
    ])
  func cutCreation(names: [String]) throws {
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    for name in names { try Data([0, 1]).write(to: URL(filePath: state + "/" + name)) }
    #expect(try StateStore.open(state, for: Self.demand(1)).recoveredIndex == .zero)
  }
}
