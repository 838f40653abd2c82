import Foundation
import Glibc
import Simulator
import StreamDiffCore
import StreamDiffService
import Testing

@Suite struct NDJSONTests {
  private let scratch: ScratchDirectory
  private var file: String { scratch.sub("entries.ndjson") }
  private var dest: String { scratch.sub("dest.ndjson") }

  init() throws { scratch = try ScratchDirectory() }

  private func write(_ text: String, to path: String? = nil) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path ?? file))
  }

  /// What scanning the file fails with.
  private func scanFailure() async -> AdapterError? {
    do {
      _ = try await NDJSONSource.scan(file)
      return nil
    } catch {
      return error as? AdapterError
    }
  }

  private func text(of path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }

  private func entries(of source: NDJSONSource) throws -> [[UInt8]: [UInt8]] {
    let keys = try records(of: source).map(\.key)
    var entries: [[UInt8]: [UInt8]] = [:]
    try source.readValues(of: keys) { place, value in
      entries[keys[place]] = value.withUnsafeBytes { Array($0) }
    }
    return entries
  }

  @Test(
    "a line gives its key and value",
    arguments: [
      (#"{"key":"k","value":"v"}"#, Array("k".utf8), Array("v".utf8)),
      (#" { "value" : "v" , "key" : "k" } "#, Array("k".utf8), Array("v".utf8)),
      (#"{"key":"k","value":""}"#, Array("k".utf8), []),
      (#"{"key_base64":"AP+A","value_base64":"AA=="}"#, [0, 255, 128], [0]),
      (
        #"{"key":"é\u00e9\ud83d\ude00\/","value":"\"\\\b\f\n\r\t"}"#, Array("éé😀/".utf8),
        [34, 92, 8, 12, 10, 13, 9]
      ),
      (#"{"\u006bey":"k","value_base64":"YWJj"}"#, Array("k".utf8), Array("abc".utf8)),
    ])
  func line(_ line: String, key: [UInt8], value: [UInt8]) async throws {
    try write(line)
    #expect(try entries(of: try await NDJSONSource.scan(file)) == [key: value])
  }

  @Test(
    "what is no entry is refused with its line and column",
    arguments: [
      ("", 1), ("[]", 1), (#"{"key":"k"}"#, 1), (#"{"value":"v"}"#, 1), (#"{"key":"","value":"v"}"#, 1),
      (#"{"key":"k","value":"v"} x"#, 25), (#"{"key":"k","value":1}"#, 20),
      (#"{"key":"k","value":null}"#, 20),
      (#"{"key":"k","value":"v","more":"x"}"#, 24), (#"{"key":"k","key_base64":"AA==","value":"v"}"#, 12),
      (#"{"key":"k","value":"v",}"#, 24), (#"{"key":"k" "value":"v"}"#, 12), (#"{"key":"k","value":"v""#, 23),
      (#"{"key":"k","value":"v"#, 22), (#"{"key":"k\x","value":"v"}"#, 11),
      (#"{"key":"\ud800","value":"v"}"#, 14),
      (#"{"key":"\u12g4","value":"v"}"#, 13), (#"{"key_base64":"AA=","value":"v"}"#, 15),
      (#"{"key_base64":"AB==","value":"v"}"#, 15), ("{\"key\":\"a\tb\",\"value\":\"v\"}", 10),
    ].filter { !$0.0.isEmpty })
  func malformed(_ line: String, column: Int) async throws {
    try write(#"{"key":"good","value":"line"}"# + "\n\n" + line + "\n")
    let error = await scanFailure()
    #expect(error?.code == .malformed)
    #expect(error?.path == file)
    #expect(error?.detail.hasPrefix("line 3, column \(column): ") == true, "\(error?.detail ?? "")")
  }

  @Test("bytes that are no UTF-8 in a string are refused")
  func foreignBytes() async throws {
    for bytes in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80]]
      as [[UInt8]]
    {
      try Data(Array(#"{"key":"k"#.utf8) + bytes + Array(#"","value":"v"}"#.utf8)).write(
        to: URL(fileURLWithPath: file))
      #expect(await scanFailure()?.code == .malformed)
    }
  }

  @Test("keys and values beyond the limits are refused")
  func limits() async throws {
    try write(#"{"key":"\#(String(repeating: "k", count: Limits.keyBytes + 1))","value":"v"}"#)
    #expect(await scanFailure()?.code == .tooLarge)
    try write(#"{"key":"k","value":"\#(String(repeating: "v", count: Limits.valueBytes + 1))"}"#)
    #expect(await scanFailure()?.code == .tooLarge)
    try write(#"{"key":"k","value":"\#(String(repeating: "v", count: Limits.valueBytes))"}"#)
    #expect(try await NDJSONSource.scan(file).tree.count == 1)
  }

  @Test("an empty file is an empty keyspace")
  func empty() async throws {
    try write("")
    let source = try await NDJSONSource.scan(file)
    #expect(source.tree.count == 0)
    #expect(try records(of: source).isEmpty)
  }

  @Test("of a key given more than once the last wins, wherever the file was cut")
  func lastWins() async throws {
    var numbers = SeededRandom(seed: 9)
    var expected: [[UInt8]: [UInt8]] = [:]
    var text: [UInt8] = []
    while text.count < 40 << 20 {
      let key = Array("key/\(UInt32.random(in: 0..<90_000, using: &numbers))".utf8)
      let value = Array(
        repeating: UInt8.random(in: 97...122, using: &numbers),
        count: Int.random(in: 0...200, using: &numbers))
      expected[key] = value
      text += JSONText.entry(key: key, value: value) + [0x0a]
    }
    try Data(text).write(to: URL(fileURLWithPath: file))
    let source = try await NDJSONSource.scan(file)
    let found = try entries(of: source)
    #expect(found == expected)
    var builder = MerkleTreeBuilder()
    var hash = SHA256()
    for (key, value) in expected.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
      builder.append(
        key: key, digest: EntryDigest.of(key: key, value: value, using: &hash), valueBytes: value.count)
    }
    let root = builder.finish().root
    #expect(source.tree.root == root)
  }

  @Test("records and values are read by range")
  func ranges() async throws {
    var numbers = SeededRandom(seed: 4)
    let lines = (0..<5000).map { _ in
      JSONText.entry(key: numbers.bytes(Int.random(in: 1...12, using: &numbers)), value: numbers.bytes(300))
    }
    try Data(lines.joined(separator: [0x0a])).write(to: URL(fileURLWithPath: file))
    let source = try await NDJSONSource.scan(file)
    let all = try records(of: source)
    for _ in 0..<200 {
      let (first, last) = (
        Int.random(in: 0..<all.count, using: &numbers), Int.random(in: 0..<all.count, using: &numbers)
      )
      let limit = Int.random(in: 1..<900, using: &numbers)
      var page: [DigestRecord] = []
      try source.readRecords(from: all[first].key, to: all[last].key, limit: limit, into: &page)
      #expect(page == Array(all[first..<max(first, last)].prefix(limit)))
      var visited = 0
      try source.readValues(of: page.map(\.key)) { place, value in
        #expect(value.byteCount == page[place].valueBytes)
        visited += 1
      }
      #expect(visited == page.count)
    }
  }

  @Test("a pulled file holds the source's entries in key order; until then the old file stands")
  func pull() async throws {
    try write(
      #"{"key":"b","value":"2"}"# + "\n" + #"{"key_base64":"/w==","value":"x\"y"}"# + "\n"
        + #"{"key":"a","value_base64":"/w=="}"#)
    try write(#"{"key":"b","value":"old"}"# + "\n" + #"{"key":"c","value":"goes"}"#, to: dest)
    chmod(dest, 0o640)
    let source = try await NDJSONSource.scan(file)
    let sink = try await NDJSONSink.open(dest)
    try await carry(source, into: sink)
    #expect(try text(of: dest).contains("old"))
    #expect(try await sink.content().tree.root == source.tree.root)
    try await sink.publish()
    let lines = [
      #"{"key":"a","value_base64":"/w=="}"#, #"{"key":"b","value":"2"}"#,
      #"{"key_base64":"/w==","value":"x\"y"}"#,
    ]
    let expected = lines.joined(separator: "\n") + "\n"
    #expect(try text(of: dest) == expected)
    #expect(try FileManager.default.attributesOfItem(atPath: dest)[.posixPermissions] as? Int == 0o640)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).count == 2)
    #expect(try await carry(source, into: try await NDJSONSink.open(dest)) == 0)
  }

  @Test("a file with the same content in another order is left as it is; a missing one is made")
  func untouched() async throws {
    let text = #"{"key":"b","value":"2"}"# + "\n" + #"{"key":"a","value":"1"}"#
    try write(text)
    try write(text, to: dest)
    let source = try await NDJSONSource.scan(file)
    let sink = try await NDJSONSink.open(dest)
    try await carry(source, into: sink)
    try await sink.publish()
    #expect(try self.text(of: dest) == text)
    let other = try await NDJSONSink.open(scratch.sub("new.ndjson"))
    try await carry(source, into: other)
    try await other.publish()
    #expect(try await NDJSONSource.scan(scratch.sub("new.ndjson")).tree.root == source.tree.root)
  }

  @Test("a sink that is given the same operations again ends the same")
  func again() async throws {
    try write((0..<3000).map { #"{"key":"k\#($0)","value":"v\#($0)"}"# }.joined(separator: "\n"))
    let source = try await NDJSONSource.scan(file)
    let sink = try await NDJSONSink.open(dest)
    try await carry(source, into: sink, limit: 1200)
    try await carry(source, into: sink)
    #expect(try await sink.content().tree.root == source.tree.root)
  }
}
