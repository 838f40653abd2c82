import Glibc
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import Synchronization
import Testing

@Suite struct CrashTests {
  /// Of the writer: the last number that was acknowledged.
  private final class Progress: Sendable {
    private let last = Atomic<Int>(-1)
    private let over = Atomic<Bool>(false)
    var acknowledged: Int { last.load(ordering: .acquiring) }
    func acknowledge(_ number: Int) { last.store(number, ordering: .releasing) }
    var isOver: Bool { over.load(ordering: .acquiring) }
    func end() { over.store(true, ordering: .releasing) }
  }

  /// Copies what a directory's files hold now, as a crash would leave them; files that change while
  /// they are copied come out torn.
  private static func image(of source: String, at target: String) throws {
    let files = PosixFileSystem()
    try files.createDirectory(target)
    for name in try files.list(source) {
      let (from, to) = (source + "/" + name, target + "/" + name)
      var status = stat()
      guard lstat(from, &status) == 0 else { continue }
      if status.st_mode & S_IFMT == S_IFDIR {
        try image(of: from, at: to)
      } else if let bytes = try files.readFile(from, limit: 1 << 30) {
        let file = try files.open(to, .replace(.replacedFileCreate))
        try bytes.withUnsafeBytes { try file.write($0, at: 0, .replacedFileWrite) }
      }
    }
  }

  @Test("an image of the disk, taken at any moment, holds all that was acknowledged before")
  func images() async throws {
    let directory = ReplicaDirectory()
    let configuration = Replica.Configuration.test(directory)
    let replica = try Replica.test(configuration)
    let progress = Progress()
    let value = String(repeating: "v", count: 3000)
    try await withThrowingTaskGroup { group in
      // Also when the survivor below is none: the group waits for its writer.
      defer { progress.end() }
      group.addTask {
        defer { progress.end() }
        var number = 0
        while !progress.isOver {
          try await replica.write("key \(number)", value)
          progress.acknowledge(number)
          number += 1
        }
      }
      for round in 0..<6 {
        try await eventually("60 more that are acknowledged") {
          progress.acknowledged >= 60 * (round + 1) || progress.isOver
        }
        if progress.isOver { break }
        let last = progress.acknowledged
        let copy = "\(directory.path)/image \(round)"
        // The state first: what the log has beyond it is replayed.
        for part in ["state", "format", "wal"] {
          let from = configuration.directory + "/" + part
          if part == "format" {
            let bytes = try #require(try PosixFileSystem().readFile(from, limit: 100))
            try PosixFileSystem().replaceFile(copy + "/format", with: bytes)
          } else {
            try Self.image(of: from, at: copy + "/" + part)
          }
        }
        let survivor = try Replica.test(Replica.Configuration(directory: copy))
        for number in 0...last { #expect(try survivor.read("key \(number)") == value, "round \(round)") }
        try await survivor.write("after", "the crash")
        try survivor.stop()
      }
      progress.end()
      // Throws what ended the writer before.
      try await group.waitForAll()
    }
    try replica.stop()
  }
}
