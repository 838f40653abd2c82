import Foundation
import Glibc
import Simulator
import StreamDiffCore
import StreamDiffService
import Testing

@Suite struct DirectoryTests {
  private let scratch: ScratchDirectory
  private var source: String { scratch.sub("source") }
  private var dest: String { scratch.sub("dest") }

  init() throws { scratch = try ScratchDirectory() }

  /// Brings DEST to what the source directory holds.
  private func pull(deletionsLast: Bool = false) async throws -> (operations: Int, root: Digest) {
    let content = try await DirectorySource.scan(source)
    let sink = try await DirectorySink.open(dest)
    let operations = try await carry(content, into: sink, deletionsLast: deletionsLast)
    let root = try await sink.content().tree.root
    await sink.close()
    return (operations, root)
  }

  @Test("a pulled directory has every byte, mode, link and empty directory of its source, and its root")
  func roundTrip() async throws {
    try TreeFixture.write(TreeFixture.sample(), at: source)
    let (_, root) = try await pull()
    #expect(try TreeFixture.read(dest) == TreeFixture.sample())
    #expect(try await DirectorySource.scan(source).tree.root == root)
    #expect(try await DirectorySource.scan(dest).tree.root == root)
    #expect(try await pull().operations == 0)
  }

  @Test("the root depends on names, modes and bytes alone, not on times or the order of creation")
  func rootOfContent() async throws {
    let tree: TreeFixture.Tree = ["x": .file([1], mode: 0o644), "y": .file([2], mode: 0o644)]
    try TreeFixture.write(tree, at: source)
    try TreeFixture.write(["y": .file([2], mode: 0o644)], at: dest)
    try TreeFixture.write(["x": .file([1], mode: 0o644)], at: dest)
    var times = [timeval(tv_sec: 1, tv_usec: 0), timeval(tv_sec: 1, tv_usec: 0)]
    utimes("\(dest)/x", &times)
    let root = try await DirectorySource.scan(source).tree.root
    #expect(try await DirectorySource.scan(dest).tree.root == root)
    chmod("\(dest)/x", 0o600)
    #expect(try await DirectorySource.scan(dest).tree.root != root)
  }

  struct Change: Sendable, CustomStringConvertible {
    let description: String
    let body: @Sendable (inout TreeFixture.Tree) -> Void
    init(_ description: String, _ body: @escaping @Sendable (inout TreeFixture.Tree) -> Void) {
      (self.description, self.body) = (description, body)
    }
  }

  static let changes: [Change] = [
    Change("a byte changes") { $0["small.txt"] = .file(Array("another line\n".utf8), mode: 0o600) },
    Change("a mode changes") { $0["large.bin"] = .file(largeFile, mode: 0o600) },
    Change("a directory's mode changes") { $0["a"] = .directory(mode: 0o711) },
    Change("a file goes") { $0["a/b/c/deep.json"] = nil },
    Change("a tree goes") { tree in tree = tree.filter { !$0.key.hasPrefix("a/") && $0.key != "a" } },
    Change("a file becomes a directory with a file") {
      $0["small.txt"] = .directory(mode: 0o755)
      $0["small.txt/now"] = .file([1], mode: 0o644)
    },
    Change("a directory with files becomes a file") { tree in
      tree = tree.filter { !$0.key.hasPrefix("a/") }
      tree["a"] = .file([9], mode: 0o644)
    },
    Change("a directory becomes a link") { $0["hollow"] = .link("a") },
    Change("a link becomes a directory") {
      $0["to-directory"] = .directory(mode: 0o755)
      $0["to-directory/inside"] = .file([1, 2], mode: 0o644)
    },
    Change("a link points elsewhere") { $0["to-file"] = .link("run.sh") },
    Change("a file in a sealed directory changes") { $0["sealed/inside"] = .file([7], mode: 0o400) },
    Change("a file grows at its front") {
      $0["large.bin"] = .file(Array("inserted".utf8) + largeFile, mode: 0o640)
    },
    Change("a file shrinks to nothing") { $0["zeros"] = .file([], mode: 0o644) },
    Change("everything goes") { $0 = [:] },
  ]

  private static let largeFile: [UInt8] = {
    guard case .file(let bytes, _) = TreeFixture.sample()["large.bin"] else { return [] }
    return bytes
  }()

  @Test("a directory that holds older content becomes the new one", arguments: changes, [false, true])
  func change(_ change: Change, deletionsLast: Bool) async throws {
    var tree = TreeFixture.sample()
    try TreeFixture.write(tree, at: dest)
    change.body(&tree)
    try TreeFixture.write(tree, at: source)
    let (_, root) = try await pull(deletionsLast: deletionsLast)
    #expect(try TreeFixture.read(dest) == tree)
    #expect(try await DirectorySource.scan(source).tree.root == root)
    #expect(try await pull().operations == 0)
  }

  @Test("an insertion into a file sends its record and the pieces around it")
  func insertion() async throws {
    try TreeFixture.write(["f": .file(Self.largeFile, mode: 0o644)], at: source)
    _ = try await pull()
    var longer = Self.largeFile
    longer.insert(contentsOf: Array("in the middle".utf8), at: 1_500_000)
    try TreeFixture.write(["f": .file(longer, mode: 0o644)], at: source)
    // Record, one or two new pieces, one or two that go.
    #expect(try await pull().operations <= 9)
    #expect(try TreeFixture.read(dest) == ["f": .file(longer, mode: 0o644)])
  }

  @Test("a file of thousands of pieces keeps its list in parts, and a change sends few of them")
  func partsOfLists() async throws {
    var numbers = SeededRandom(seed: 5)
    var bytes = numbers.bytes(100 << 20)
    try TreeFixture.write(["big": .file(bytes, mode: 0o644)], at: source)
    let (all, _) = try await pull()
    #expect(all > 1024)
    bytes.replaceSubrange(1000..<1010, with: [1, 2, 3])
    try TreeFixture.write(["big": .file(bytes, mode: 0o644)], at: source)
    // Record, a part, a piece, and the old ones of each; a piece more where the cut moved on.
    #expect(try await pull().operations <= 9)
    #expect(try TreeFixture.read(dest) == ["big": .file(bytes, mode: 0o644)])
  }

  @Test("sockets, pipes and devices are left out and named; unfinished files are no content")
  func skipped() async throws {
    try TreeFixture.write(["pipe": .other, "file": .file([1], mode: 0o644)], at: source)
    let unfinished = "\(source)/.streamdiff-0123456789abcdef.part"
    try Data([1]).write(to: URL(fileURLWithPath: unfinished))
    let content = try await DirectorySource.scan(source)
    #expect(content.skipped == ["pipe"] && content.unfinished == 1)
    #expect(content.files == 1)
  }

  @Test("names are bytes: one that is no UTF-8 keeps its root, and prints escaped")
  func foreignNames() async throws {
    mkdir(source, 0o755)
    let name: [CChar] = (Array("\(source)/".utf8) + [0xff, 0xfe, 0x0a]).map { CChar(bitPattern: $0) } + [0]
    close(open(name, O_CREAT | O_WRONLY, 0o644))
    let (_, root) = try await pull()
    #expect(try await DirectorySource.scan(dest).tree.root == root)
    #expect(printable([0xff, 0xfe, 0x0a]) == "\\xff\\xfe\\x0a")
  }

  @Test("a file that changed after the scan is an error that names it")
  func changedAfterScan() async throws {
    try TreeFixture.write(["d": .directory(mode: 0o755), "d/f": .file([1, 2, 3], mode: 0o644)], at: source)
    let content = try await DirectorySource.scan(source)
    try Data([1, 2, 4]).write(to: URL(fileURLWithPath: "\(source)/d/f"))
    let keys = try records(of: content).map(\.key)
    let failure = #expect(throws: SyncFailure.self) { try content.readValues(of: keys) { _, _ in } }
    #expect(failure?.code == .sourceChanged)
    #expect(failure?.detail.contains("d/f") == true)
  }

  @Test("records are read by range and by page, in key order")
  func ranges() async throws {
    try TreeFixture.write(TreeFixture.sample(), at: source)
    let content = try await DirectorySource.scan(source)
    let all = try records(of: content)
    #expect(all.count == content.tree.count)
    var numbers = SeededRandom(seed: 3)
    for _ in 0..<200 {
      let (first, last) = (
        Int.random(in: 0..<all.count, using: &numbers), Int.random(in: 0..<all.count, using: &numbers)
      )
      let limit = Int.random(in: 1..<20, using: &numbers)
      var page: [DigestRecord] = []
      try content.readRecords(from: all[first].key, to: all[last].key, limit: limit, into: &page)
      #expect(page == Array(all[first..<max(first, last)].prefix(limit)))
    }
  }
}
