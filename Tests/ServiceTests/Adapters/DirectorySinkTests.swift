import Foundation
import Glibc
import StreamDiffCore
import StreamDiffService
import Testing

@Suite struct DirectorySinkTests {
  private let scratch: ScratchDirectory
  private var source: String { scratch.sub("source") }
  private var dest: String { scratch.sub("dest") }

  init() throws { scratch = try ScratchDirectory() }

  // What a foreign sender may send, laid out as DirectoryRecord and DirectoryKey specify it.

  private static func file(_ pieces: [[UInt8]], size: Int? = nil) -> [UInt8] {
    var record: [UInt8] = [1, 1, 0, 0xa4, 0x01, 0]
    let size = size ?? pieces.reduce(0) { $0 + $1.count }
    withUnsafeBytes(of: UInt64(size).littleEndian) { record += $0 }
    withUnsafeBytes(of: UInt32(pieces.count).littleEndian) { record += $0 }
    for piece in pieces {
      record += SHA256.digest(piece).bytes
      withUnsafeBytes(of: UInt32(piece.count).littleEndian) { record += $0 }
    }
    return record
  }

  private static func link(_ target: String) -> [UInt8] {
    [1, 3, 0, 0xff, 0x01, UInt8(target.utf8.count), 0] + target.utf8
  }

  private static let directory: [UInt8] = [1, 2, 0, 0xed, 0x01]

  private static func put(_ path: String, _ record: [UInt8]) -> KeyOperation {
    KeyOperation(key: Array(path.utf8) + [0], change: .put(value: record))
  }

  private static func piece(_ path: String, _ bytes: [UInt8], named: [UInt8]? = nil) -> KeyOperation {
    KeyOperation(
      key: Array(path.utf8) + [0, 2] + SHA256.digest(named ?? bytes).bytes, change: .put(value: bytes))
  }

  private static let content: [UInt8] = Array("content".utf8)

  struct Hostile: Sendable, CustomStringConvertible {
    let description: String
    let operations: [KeyOperation]
  }

  static let hostile: [Hostile] = hostilePaths + hostileRecords

  private static let hostilePaths: [Hostile] = [
    "..", "../out", "a/../../out", "/out", "a//out", "./out", "a/.", "", "/",
    ".streamdiff-0123456789abcdef.part", String(repeating: "n", count: 256),
  ].map { path in
    let operations = [put("a/", directory), put(path, file([content])), piece(path, content)]
    return Hostile(description: "the path '\(path.prefix(40))'", operations: operations)
  }

  private static let hostileRecords: [Hostile] = [
    hostile("a NUL in a path", put("o\u{0}ut", file([content]))),
    hostile(
      "a file through a link", put("l", link("..")), put("l/out", file([content])), piece("l/out", content)),
    hostile(
      "a file through a link beside a directory of that name",
      put("l", link("..")), put("l/", directory), put("l/out", file([content])), piece("l/out", content)),
    hostile("no directory record", put("d/out", file([content]))),
    hostile("a piece without a record that is not what its key says", piece("out", [1], named: content)),
    hostile("another piece than the record lists", put("out", file([content])), piece("out", [1])),
    hostile(
      "a piece that is not what its key says", put("out", file([content])), piece("out", [1], named: content)),
    hostile("a piece that never comes", put("out", file([content]))),
    hostile("sizes that do not add up", put("out", file([content], size: 9))),
    hostile("a directory's record at a file's path", put("out", directory)),
    hostile("an unknown format", put("out", [2] + Array(file([content]).dropFirst()))),
    hostile("an empty record", put("out", [])),
    hostile("a link without a target", put("out", link(""))),
    hostile(
      "a list of parts that are not there",
      put("out", [1, 1, 0, 0xa4, 0x01, 1] + Array(file([content])[6...]))),
  ]

  private static func hostile(_ description: String, _ operations: KeyOperation...) -> Hostile {
    Hostile(description: description, operations: operations)
  }

  @Test(
    "what would leave DEST or contradicts itself is refused, and nothing of it is seen", arguments: hostile)
  func refused(_ hostile: Hostile) async throws {
    let sink = try await DirectorySink.open(dest)
    await #expect(throws: AdapterError.self) {
      try await apply(hostile.operations, to: sink)
      _ = try await sink.seal()
    }
    await sink.close()
    let seen = try TreeFixture.read(scratch.path).keys.filter { $0.hasSuffix("out") || $0.contains(".part") }
    #expect(seen.isEmpty)
  }

  @Test(
    "pieces that no record lists count in the root and are written nowhere; the next session gets them again")
  func strays() async throws {
    let kept = [
      Self.put("d/", Self.directory), Self.put("d/f", Self.file([Self.content])),
      Self.piece("d/f", Self.content),
    ]
    // Of a file that is there, of one that is not, and of one whose directory is not.
    let strays = [
      Self.piece("d/f", [1]), Self.piece("d/g", [2, 2]), Self.piece("elsewhere/h", [3]),
      KeyOperation(
        key: Array("d/f".utf8) + [0, 1] + SHA256.digest([9, 9]).bytes, change: .put(value: [9, 9])),
    ]
    let all = (kept + strays).sorted { $0.key.lexicographicallyPrecedes($1.key) }
    let sink = try await DirectorySink.open(dest)
    try await apply(all, to: sink)
    let sealed = try await sink.seal()
    #expect(try records(of: sealed).map(\.key) == all.map(\.key))
    #expect(try await sink.strays == strays.count)
    #expect(sealed.tree.root != (try await DirectorySource.scan(dest)).tree.root)
    // The connection alone broke.
    let again = try await sink.content()
    #expect(try records(of: again).map(\.key) == kept.map(\.key))
    await sink.close()
    #expect(
      try TreeFixture.read(dest) == ["d": .directory(mode: 0o755), "d/f": .file(Self.content, mode: 0o644)])
  }

  @Test("a link in DEST is replaced, never followed")
  func linkInTheWay() async throws {
    mkdir(dest, 0o755)
    mkdir(scratch.sub("outside"), 0o755)
    symlink("../outside", "\(dest)/d")
    let sink = try await DirectorySink.open(dest)
    try await apply(
      [
        Self.put("d/", Self.directory), Self.put("d/f", Self.file([Self.content])),
        Self.piece("d/f", Self.content),
      ],
      to: sink)
    _ = try await sink.seal()
    await sink.close()
    #expect(try TreeFixture.read(scratch.sub("outside")).isEmpty)
    #expect(try TreeFixture.read(dest)["d/f"] == .file(Self.content, mode: 0o644))
  }

  @Test("a pull that breaks off leaves each file old or new, and the next one finishes", arguments: 0...24)
  func breaksOff(seed: UInt64) async throws {
    var old = TreeFixture.sample(seed: 1)
    old["gone"] = .file([1], mode: 0o644)
    let new = TreeFixture.sample(seed: 2)
    try TreeFixture.write(old, at: dest)
    try TreeFixture.write(new, at: source)
    let content = try await DirectorySource.scan(source)
    let sink = try await DirectorySink.open(dest)
    try await carry(content, into: sink, limit: Int(seed * 5))
    if seed % 2 == 0 {
      await sink.close()
      for (path, node) in try TreeFixture.read(dest) {
        #expect(node == old[path] || node == new[path], "\(path): \(node)")
      }
      let next = try await DirectorySink.open(dest)
      try await carry(content, into: next)
      await next.close()
    } else {
      // The connection alone broke: the same sink goes on.
      try await carry(content, into: sink)
      await sink.close()
    }
    #expect(try TreeFixture.read(dest) == new)
  }

  @Test("unfinished files of a killed pull are removed by the next")
  func leftovers() async throws {
    mkdir(dest, 0o755)
    try Data([1]).write(to: URL(fileURLWithPath: "\(dest)/.streamdiff-00000000000000ff.part"))
    symlink("x", "\(dest)/.streamdiff-00000000000000fe.part")
    let sink = try await DirectorySink.open(dest)
    #expect(try await sink.content().tree.count == 0)
    await sink.close()
    #expect(try TreeFixture.read(dest).isEmpty)
  }

  @Test("one pull at a time writes to a directory")
  func locked() async throws {
    let first = try await DirectorySink.open(dest)
    let error = await #expect(throws: AdapterError.self) { try await DirectorySink.open(dest) }
    #expect(error?.code == .refused)
    await first.close()
    let second = try await DirectorySink.open(dest)
    await second.close()
  }

  @Test("a directory that holds what no pull touches is not removed, and the pull says so")
  func unremovable() async throws {
    try TreeFixture.write(["d": .directory(mode: 0o755), "d/pipe": .other], at: dest)
    try TreeFixture.write([:], at: source)
    let sink = try await DirectorySink.open(dest)
    #expect(sink.skipped == ["d/pipe"])
    let content = try await DirectorySource.scan(source)
    let error = await #expect(throws: AdapterError.self) { try await carry(content, into: sink) }
    #expect(error?.description.contains("dest/d") == true)
    await sink.close()
  }
}
