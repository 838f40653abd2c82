import Foundation
import Glibc
import Simulator

/// Makes and reads directory trees with plain system calls, apart from the code under test.
enum TreeFixture {
  enum Node: Equatable, CustomStringConvertible {
    case file([UInt8], mode: UInt16)
    case directory(mode: UInt16)
    case link(String)
    case other

    var description: String {
      switch self {
      case .file(let bytes, let mode): "file of \(bytes.count) bytes, mode \(String(mode, radix: 8))"
      case .directory(let mode): "directory, mode \(String(mode, radix: 8))"
      case .link(let target): "link to \(target)"
      case .other: "something else"
      }
    }
  }

  typealias Tree = [String: Node]

  /// Creates `tree` at `root`. Directories get their modes last.
  static func write(_ tree: Tree, at root: String) throws {
    mkdir(root, 0o755)
    for (path, node) in tree.sorted(by: { $0.key < $1.key }) {
      let full = "\(root)/\(path)"
      switch node {
      case .directory: mkdir(full, 0o755)
      case .link(let target): symlink(target, full)
      case .file(let bytes, let mode):
        try Data(bytes).write(to: URL(fileURLWithPath: full))
        chmod(full, mode_t(mode))
      case .other: mkfifo(full, 0o600)
      }
    }
    for case (let path, .directory(let mode)) in tree { chmod("\(root)/\(path)", mode_t(mode)) }
  }

  /// Everything under `root`, unfinished files included.
  static func read(_ root: String) throws -> Tree {
    var tree: Tree = [:]
    for path in try FileManager.default.subpathsOfDirectory(atPath: root) {
      let full = "\(root)/\(path)"
      var status = stat()
      lstat(full, &status)
      let mode = UInt16(status.st_mode & 0o7777)
      switch status.st_mode & S_IFMT {
      case S_IFDIR: tree[path] = .directory(mode: mode)
      case S_IFREG: tree[path] = .file([UInt8](try Data(contentsOf: URL(fileURLWithPath: full))), mode: mode)
      case S_IFLNK: tree[path] = .link(try FileManager.default.destinationOfSymbolicLink(atPath: full))
      default: tree[path] = .other
      }
    }
    return tree
  }

  /// A tree with one of everything.
  static func sample(seed: UInt64 = 1) -> Tree {
    var numbers = SeededRandom(seed: seed)
    return [
      "empty": .file([], mode: 0o644),
      "small.txt": .file(Array("a line\n".utf8), mode: 0o600),
      "run.sh": .file(Array("#!/bin/sh\n".utf8), mode: 0o755),
      "large.bin": .file(numbers.bytes(3_000_000), mode: 0o640),
      "zeros": .file([UInt8](repeating: 0, count: 1_200_000), mode: 0o644),
      "a": .directory(mode: 0o755),
      "a!": .file(Array("sorts between a and a/".utf8), mode: 0o644),
      "a/b": .directory(mode: 0o700),
      "a/b/c": .directory(mode: 0o755),
      "a/b/c/deep.json": .file(numbers.bytes(70_000), mode: 0o644),
      "hollow": .directory(mode: 0o755),
      "sealed": .directory(mode: 0o555),
      "sealed/inside": .file(Array("x".utf8), mode: 0o444),
      "to-file": .link("small.txt"),
      "to-directory": .link("a/b"),
      "to-nothing": .link("../nowhere at all"),
      "naïve \u{1F600}.txt": .file(Array("name".utf8), mode: 0o644),
    ]
  }
}
