import Foundation
import StreamDiffStorage
import Testing

@Suite("Labels of disk calls")
struct LabelTests {
  /// The code of both modules that touch disks, by path below Sources, comments apart.
  private static func sources() throws -> [(path: String, code: String)] {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../Sources")
      .standardized
    var found: [(String, String)] = []
    for module in ["StreamDiffStorage", "StreamDiffService"] {
      let folder = root.appending(path: module)
      for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path())
      where name.hasSuffix(".swift") {
        let text = try String(contentsOf: folder.appending(path: name), encoding: .utf8)
        let lines = text.split(separator: "\n").filter {
          !$0.trimmingPrefix(while: \.isWhitespace).hasPrefix("//")
        }
        found.append((module + "/" + name, lines.joined(separator: "\n")))
      }
    }
    return found
  }

  private static func count(_ word: String, in code: String) -> Int {
    var count = 0
    var rest = code[...]
    while let range = rest.range(of: word) {
      rest = rest[range.upperBound...]
      if rest.first.map({ $0.isLetter || $0.isNumber || $0 == "_" }) != true { count += 1 }
    }
    return count
  }

  @Test("each label stands at exactly one call")
  func oneCallEach() throws {
    let sources = try Self.sources()
    #expect(sources.count > 60)
    for label in SyncPoint.allCases.map(\.rawValue) + ChangePoint.allCases.map(\.rawValue) {
      let places = sources.flatMap { Array(repeating: $0.path, count: Self.count("." + label, in: $0.code)) }
      #expect(places.count == 1, "\(label) stands in \(places)")
    }
  }

  @Test("nothing is made durable but by a call with a label")
  func noOtherCalls() throws {
    // The client's destinations are files of its user, not of a replica.
    let allowed = [
      "fsync(": [
        "StreamDiffService/Adapters/NDJSON/NDJSONSink.swift", "StreamDiffStorage/Files/PosixFileSystem.swift",
      ],
      "fdatasync(": ["StreamDiffStorage/Files/PosixFile.swift"],
      "rocksdb_flush(": ["StreamDiffStorage/State/Database.swift"],
    ]
    for (call, places) in allowed {
      let found = try Self.sources().filter {
        $0.code.contains(call) && (call != "fsync(" || $0.code.contains(" fsync("))
      }
      #expect(found.map(\.path).sorted() == places, "\(call)")
    }
  }
}
