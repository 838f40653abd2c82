import StreamDiffCore
import StreamDiffService

extension EntryPoints {
  /// What files and the other side's directory keyspaces are read with.
  static let adapters = [ndjsonLine, directoryKey, directoryRecord, pieceList]

  // MARK: NDJSON

  static let ndjsonLine = EntryPoint(
    "ndjson-line", dictionary: AdapterSamples.words, seeds: { AdapterSamples.lines }
  ) { input, seen in
    var buffer: [UInt8] = [7]
    let entry: EntryLine
    do {
      entry = try input.withUnsafeBytes { line in try EntryLine(line, into: &buffer) }
    } catch let problem as EntryLine.Problem {
      try require(1...input.count + 1 ~= problem.column, "column \(problem.column) of \(input.count)")
      return seen.note(problem.reason)
    }
    try require(
      buffer.count == 1 + entry.keyBytes + entry.valueBytes, "\(buffer.count) bytes for key and value")
    let (key, value) = (
      Array(buffer[1...].prefix(entry.keyBytes)), Array(buffer[1...].dropFirst(entry.keyBytes))
    )
    try require(
      1...Limits.keyBytes ~= key.count && value.count <= Limits.valueBytes, "an entry over its bounds")
    // Nothing on a line says more than one byte for each of its own.
    try require(key.count + value.count <= input.count, "\(input.count) bytes of line hold \(buffer.count)")
    let line = JSONText.entry(key: key, value: value)
    var again: [UInt8] = []
    let other = line.withUnsafeBytes { line in try? EntryLine(line, into: &again) }
    try require(other?.keyBytes == key.count && again == key + value, "an entry changes when it is written")
    seen.note(count: value.count)
  }

  // MARK: Directories

  static let directoryKey = EntryPoint(
    "directory-key", maximumBytes: 600,
    dictionary: ["/", "..", ".", "\0", "\0\u{1}", "\0\u{2}"].map { Array($0.utf8) },
    seeds: { AdapterSamples.keys }
  ) { input, seen in
    let key = try DirectoryKey(decoding: input.span)
    switch key.tail {
    case .record: try require(DirectoryKey.record(key.path) == input, "a record key changes")
    case .part(let digest): try require(DirectoryKey.part(key.path, digest) == input, "a part key changes")
    case .piece(let digest): try require(DirectoryKey.piece(key.path, digest) == input, "a piece key changes")
    }
    let names = key.path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    try require(
      !key.path.isEmpty && key.path[0] != UInt8(ascii: "/") && !key.path.contains(0)
        && !names.contains { $0.elementsEqual("..".utf8) || $0.elementsEqual(".".utf8) },
      "the path \(key.path) could leave its directory")
    seen.note(count: names.count)
  }

  static let directoryRecord = EntryPoint("directory-record", seeds: { AdapterSamples.records }) {
    input, seen in
    for path in [Array("a/b".utf8), Array("a/b/".utf8)] {
      guard let record = try? DirectoryRecord(decoding: input, path: path) else {
        seen.note("none")
        continue
      }
      try require(record.encode() == input, "a record changes when it is encoded")
      if case .file(_, let size, let items) = record.content {
        seen.note(count: items.count)
        try require(items.count <= input.count / 36, "more items than bytes")
        seen.note(count: Int(clamping: size))
      } else {
        seen.note("other")
      }
    }
  }

  static let pieceList = EntryPoint(
    "piece-list", seeds: { [[], Array(repeating: 1, count: 72), Array(repeating: 0, count: 36)] }
  ) { input, seen in
    guard let items = PieceList.decode(part: input) else { return seen.note("no list") }
    try require(1...PieceList.maximumPart ~= items.count, "a part of \(items.count) pieces")
    try require(items.allSatisfy { 1...FastCDC.maximum ~= $0.length }, "a piece of no length")
    try require(PieceList.encode(items[...]) == input, "a part changes when it is encoded")
    seen.note(count: items.count)
  }
}

enum AdapterSamples {
  static let lines = [
    #"{"key":"k","value":"v"}"#, #" { "value" : "v" , "key" : "k" } "#,
    #"{"key_base64":"AP+A","value_base64":"AA=="}"#,
    #"{"key":"é\u00e9\ud83d\ude00\/","value":"\"\\\b\f\n\r\t"}"#,
    #"{"\u006bey":"k","value_base64":"YWJj"}"#,
    #"{"key":"user/000000001","value":"0123456789abcdef item of the set"}"#,
    "{\"key\":\"k\",\"value\":\"v\"}\r",
  ].map { Array($0.utf8) }

  static let words = [
    #""key""#, #""value""#, #""key_base64""#, #""value_base64""#, #"\u"#, #"\ud83d\ude00"#, #"\u0000"#, "{",
    "}",
    "\"", "\\", ":", ",", "==", "=", "null", "[", "é", "\u{10ffff}",
  ].map { Array($0.utf8) }

  private static let path = Array("photos/2026/a.jpg".utf8)

  static let keys = [
    DirectoryKey.record(path), DirectoryKey.part(path, Samples.digest),
    DirectoryKey.piece(path, Samples.digest),
    DirectoryKey.record(Array("photos/".utf8)), DirectoryKey.record([0xff, 0xfe]),
  ]

  private static func head(_ kind: UInt8, mode: UInt8) -> [UInt8] { [1, kind, 0, mode, 1] }
  private static let item: [UInt8] = Samples.digest.bytes + [16, 39, 0, 0]

  static let records: [[UInt8]] = [
    head(1, mode: 0xa4) + [0] + [0, 0, 0, 0, 0, 0, 0, 0] + [0, 0, 0, 0],
    head(1, mode: 0xa4) + [0] + [32, 78, 0, 0, 0, 0, 0, 0] + [2, 0, 0, 0] + item + item,
    head(1, mode: 0xed) + [1] + [0, 0, 0, 1, 0, 0, 0, 0] + [1, 0, 0, 0] + item,
    head(2, mode: 0xed), head(3, mode: 0xff) + [4, 0] + Array("../x".utf8),
  ]
}
