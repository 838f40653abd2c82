import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import Testing

@Suite struct DataDirectoryTests {
  private let files = PosixFileSystem()

  @Test("one process at a time: a second replica on a directory is told who has it")
  func locked() throws {
    let directory = ReplicaDirectory()
    let replica = try Replica.test(.test(directory))
    let error = #expect(throws: StorageError.self) { try Replica.test(.test(directory)) }
    #expect(error?.code == .locked)
    #expect(error?.path == directory.path + "/data/LOCK")
    try replica.stop()
  }

  @Test("a newer format is refused by name, a damaged one too")
  func format() throws {
    for (text, code) in [
      ("streamdiff data 2\n", StorageError.Code.newerFormat), ("streamdiff data 0\n", .damaged),
      ("streamdiff data 1", .damaged), ("something else", .damaged), ("", .damaged),
    ] {
      let directory = ReplicaDirectory()
      try files.replaceFile(directory.path + "/format", with: Array(text.utf8))
      let error = #expect(throws: StorageError.self) {
        try Replica.test(Replica.Configuration(directory: directory.path))
      }
      #expect(error?.code == code, "\(text)")
      #expect(error?.path == directory.path + "/format")
    }
  }

  @Test("a directory that holds something else is left alone")
  func foreign() throws {
    let directory = ReplicaDirectory()
    try files.replaceFile(directory.path + "/letter.txt", with: Array("dear".utf8))
    let error = #expect(throws: StorageError.self) {
      try Replica.test(Replica.Configuration(directory: directory.path))
    }
    #expect(error?.code == .foreign)
    #expect(error?.description.contains("letter.txt") == true)
    #expect(try files.list(directory.path).sorted() == ["letter.txt"])
  }

  @Test("what an operator prepares makes a directory no foreign one, and no damaged one")
  func prepared() throws {
    let directory = ReplicaDirectory()
    let configuration = Replica.Configuration.test(directory)
    try files.createDirectory(configuration.directory)
    try files.replaceFile(configuration.directory + "/tunables.conf", with: Array("growth = 2\n".utf8))
    try Replica.test(configuration).stop()
    #expect(try files.list(configuration.directory).contains("tunables.conf"))
    // With more than that it is not one.
    let other = ReplicaDirectory()
    for name in ["letter.txt", "tunables.conf"] { try files.replaceFile("\(other.path)/\(name)", with: []) }
    let error = #expect(throws: StorageError.self) {
      try Replica.test(Replica.Configuration(directory: other.path))
    }
    #expect(error?.code == .foreign && error?.description.contains("letter.txt") == true)
  }

  @Test("the two who look at a directory that is not ours say the same: it is refused, and that is no damage")
  func foreignToCheck() async throws {
    let directory = ReplicaDirectory()
    try files.replaceFile(directory.path + "/letter.txt", with: Array("dear".utf8))
    let served = #expect(throws: StorageError.self) {
      try Replica.test(Replica.Configuration(directory: directory.path))
    }
    let checked = await #expect(throws: ClientFailure.self) { try await DirectoryCheck.run(directory.path) }
    #expect(checked?.kind == .refused)
    #expect(checked?.detail == served?.description)
  }

  @Test("a data directory without its format file is damaged")
  func noFormat() async throws {
    let directory = ReplicaDirectory()
    let configuration = Replica.Configuration.test(directory)
    try Replica.test(configuration).stop()
    try files.remove(configuration.directory + "/format", .spareLeftover)
    let error = #expect(throws: StorageError.self) { try Replica.test(configuration) }
    #expect(error?.code == .damaged)
    #expect(error?.path == configuration.directory + "/format")
  }

  @Test("a state directory that is missing leaves its place free where the log does not have everything")
  func stateIsGone() throws {
    let demand = StateDemand(logBegins: LogIndex(2)) { _ in }
    let directory = ReplicaDirectory()
    let error = #expect(throws: StorageError.self) {
      try StateStore.open(directory.path + "/state", for: demand)
    }
    #expect(error?.code == .damaged)
    #expect(try files.list(directory.path) == [])
  }

  @Test("a place that cannot be a directory is named")
  func unwritable() throws {
    let directory = ReplicaDirectory()
    try files.replaceFile(directory.path + "/file", with: [1])
    for path in [directory.path + "/file", directory.path + "/file/data", "/proc/streamdiff"] {
      let error = #expect(throws: StorageError.self) {
        try Replica.test(Replica.Configuration(directory: path))
      }
      #expect(error?.code == .unwritable, "\(path)")
      #expect(error?.path != nil)
    }
  }

  @Test("a log that lacks what the state needs is refused, never papered over")
  func logIsGone() async throws {
    let directory = ReplicaDirectory()
    let configuration = Replica.Configuration.test(directory)
    let replica = try Replica.test(configuration)
    try await replica.write("key", "value")
    try replica.stop()
    let wal = configuration.directory + "/wal"
    for name in try files.list(wal) { try files.remove(wal + "/" + name, .spareLeftover) }
    let error = #expect(throws: StorageError.self) { try Replica.test(configuration) }
    #expect(error?.code == .damaged)
    #expect(error?.path == wal)
  }
}
