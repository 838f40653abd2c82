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

  @Test("what is no regular file is refused by name, and nobody waits for it")
  func irregular() throws {
    let fifo = directory.path + "/fifo"
    try #require(mkfifo(fifo, 0o600) == 0)
    for (path, kind) in [(fifo, "FIFO"), ("/dev/zero", "device"), (directory.path, "directory")] {
      do {
        _ = try files.readFile(path, limit: 10)
        Issue.record("read \(path)")
      } catch { #expect(error.path == path && error.detail.contains("is a \(kind)"), "\(error)") }
    }
    #expect(throws: StorageError.self) { try files.open(fifo, .replace(.replacedFileCreate)) }
  }

  @Test("a file that is replaced keeps its mode, and links to it stay")
  func permissionsAndLinks() throws {
    let (place, far) = (directory.path + "/far", directory.path + "/far/file")
    let (link, second) = (directory.path + "/link", directory.path + "/second")
    try #require(mkdir(place, 0o700) == 0 && symlink("far/file", link) == 0 && symlink(link, second) == 0)
    // Once where it leads to nothing yet.
    for bytes: [UInt8] in [[1], [2, 3]] {
      try files.replaceFile(second, with: bytes)
      #expect(try files.readFile(far, limit: 2) == bytes)
      try #require(chmod(far, 0o600) == 0)
    }
    try files.replaceFile(link, with: [4])
    var status = stat()
    try #require(lstat(far, &status) == 0)
    #expect(status.st_mode & 0o7777 == 0o600)
    for link in [link, second] {
      try #require(lstat(link, &status) == 0)
      #expect(status.st_mode & S_IFMT == S_IFLNK)
    }
    #expect(try files.list(place) == ["file"])
    try #require(symlink("circle", directory.path + "/circle") == 0)
    #expect(throws: StorageError.self) { try files.replaceFile(directory.path + "/circle", with: []) }
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
