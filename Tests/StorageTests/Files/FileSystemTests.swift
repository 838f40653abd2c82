import Foundation
import StreamDiffStorage
import Testing

@Suite("Files")
struct FileSystemTests {
  private let directory = TemporaryDirectory()
  private let files = PosixFileSystem()

  @Test("a lock keeps a second holder out until it is let go")
  func lock() throws {
    let path = directory.path + "/LOCK"
    var held: (any FileLock)? = try files.lock(path)
    do {
      _ = try files.lock(path)
      Issue.record("locked twice")
    } catch { #expect(error.code == .locked && error.path == path) }
    _ = held
    held = nil
    _ = try files.lock(path)
  }

  @Test("a refused lock closes its own descriptor once, and nobody else's")
  func refusedLock() throws {
    let path = directory.path + "/LOCK"
    let held = try files.lock(path)
    let (files, others) = (files, directory.path)
    let refusals = Thread {
      for _ in 0..<5_000 { _ = try? files.lock(path) }
    }
    refusals.start()
    // A number closed twice is, with luck, that of a directory that another thread has just opened.
    while !refusals.isFinished { #expect(try files.list(others) == ["LOCK"]) }
    withExtendedLifetime(held) {}
  }

  @Test("a small file is replaced whole, and read within its limit")
  func replaceFile() throws {
    let path = directory.path + "/format"
    #expect(try files.readFile(path, limit: 10) == nil)
    try files.replaceFile(path, with: Array("1\n".utf8))
    try files.replaceFile(path, with: Array("22\n".utf8))
    #expect(try files.readFile(path, limit: 3) == Array("22\n".utf8))
    #expect(try files.list(directory.path) == ["format"])
    do {
      _ = try files.readFile(path, limit: 2)
      Issue.record("read beyond the limit")
    } catch { #expect(error.code == .tooLarge) }
  }

  @Test("errors say which file and what to make of it")
  func errors() throws {
    let missing = directory.path + "/none"
    do {
      _ = try files.open(missing, .read)
      Issue.record("opened")
    } catch { #expect(error.code == .notFound && error.path == missing) }
    for place in ["/proc/none/data", "/dev/null/data"] {
      do {
        try files.createDirectory(place)
        Issue.record("created \(place)")
      } catch { #expect(error.code == .unwritable) }
    }
  }

  @Test("directories are created with those above, and one that exists is fine")
  func directories() throws {
    let path = directory.path + "/a/b//c"
    try files.createDirectory(path)
    try files.createDirectory(path)
    #expect(try files.list(directory.path + "/a") == ["b"])
    #expect(try files.space(at: path).total > 0)
  }
}
