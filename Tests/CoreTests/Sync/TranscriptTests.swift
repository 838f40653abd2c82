import Foundation
import StreamDiffCore
import Testing

/// Sessions as transcripts: what stands before `----` is done, what stands behind it was said.
/// `REWRITE=1` records them anew; the reviewed diff is the proof.
///
///     sender KEY=VALUE …, receiver KEY=VALUE …   entries of either side
///     sender 0..<N=VALUE, receiver …             numbered entries
///     other KEY=VALUE                            written just before the first operations are applied
///     sync, compare                              runs a session and prints its messages
@Suite("Sync transcripts")
struct TranscriptTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Transcripts")

  static var names: [String] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
    return all.filter { $0.hasSuffix(".txt") }.sorted()
  }

  @Test("the machines say what they are recorded to say", arguments: names)
  func replay(name: String) throws {
    let file = Self.folder.appending(path: name)
    let recorded = try String(contentsOf: file, encoding: .utf8)
    var scene = Scene()
    var blocks: [String] = []
    for block in recorded.split(separator: "\n\n") where !block.hasPrefix("#") {
      let commands = block.split(separator: "\n").prefix { $0 != "----" }
      let said = try commands.flatMap { try scene.run(String($0)) }
      blocks.append((commands.map(String.init) + ["----"] + said).joined(separator: "\n"))
    }
    let title = recorded.split(separator: "\n\n").filter { $0.hasPrefix("#") }.map(String.init)
    let fresh = (title + blocks).joined(separator: "\n\n") + "\n"
    if ProcessInfo.processInfo.environment["REWRITE"] == "1" {
      try fresh.write(to: file, atomically: true, encoding: .utf8)
    }
    #expect(fresh == (try String(contentsOf: file, encoding: .utf8)))
  }

  @Test("there are transcripts") func exist() { #expect(Self.names.count >= 4) }
}

/// What a transcript's commands act on.
private struct Scene {
  private var sides: [Substring: Content] = ["sender": Content(), "receiver": Content()]
  private var others: [(key: [UInt8], value: [UInt8])] = []

  mutating func run(_ command: String) throws -> [String] {
    let words = command.split(separator: " ")
    switch words[0] {
    case "sync": return try sync(compareOnly: false)
    case "compare": return try sync(compareOnly: true)
    case "other": others += words.dropFirst().flatMap(entries)
    case let side:
      for entry in words.dropFirst().flatMap(entries) { sides[side]?.put(entry.key, entry.value) }
    }
    return []
  }

  private func entries(_ word: Substring) -> [(key: [UInt8], value: [UInt8])] {
    let parts = word.split(separator: "=", omittingEmptySubsequences: false)
    let value = Array(parts[1].utf8)
    let bounds = parts[0].split(separator: "..<").compactMap { Int($0) }
    guard bounds.count == 2 else { return [(Array(parts[0].utf8), value)] }
    return (bounds[0]..<bounds[1]).map { (Content.key($0), value) }
  }

  private mutating func sync(compareOnly: Bool) throws -> [String] {
    let pump = try SyncPump(
      from: sides["sender"] ?? Content(), to: sides["receiver"] ?? Content(), seed: 1,
      compareOnly: compareOnly)
    pump.settings = ChunkSettings(bytes: 256, encoding: ChunkEncoding(codec: .none, level: 0))
    pump.pace = .takesLast
    let said = Said()
    pump.onMessage = { role, message in said.lines.append("\(role) > \(Said.text(message))") }
    pump.onPlan = { plan in said.lines += plan.prefix(8).map(Said.text) + Said.rest(plan.count - 8) }
    let changes = others
    pump.beforeApplying = { content in for change in changes { content.put(change.key, change.value) } }
    others = []
    try pump.run()
    sides["receiver"] = pump.target
    return said.lines + [
      "sender: \(Said.text(pump.senderOutcome))", "receiver: \(Said.text(pump.receiverOutcome))",
    ]
  }
}

private final class Said {
  var lines: [String] = []

  static func rest(_ count: Int) -> [String] { count > 0 ? ["  … \(count) more"] : [] }

  static func text(_ operation: PlannedOperation) -> String {
    let key = String(decoding: operation.key, as: UTF8.self)
    let held =
      switch operation.expectation {
      case .any: "whatever is there"
      case .absent: "nothing"
      case .digest(let digest): short(digest)
      }
    return operation.change == .delete ? "  delete \(key), was \(held)" : "  put \(key), was \(held)"
  }

  static func short(_ digest: Digest) -> String { String(digest.description.prefix(8)) }

  static func text(_ message: SyncMessage) -> String {
    switch message {
    case .hello(let hello):
      let root = hello.root.map(short) ?? "none"
      return "hello root=\(root) entries=\(hello.entries) bytes=\(hello.bytes) index=\(hello.index.rawValue)"
    case .expand(let expand):
      let runs = expand.runs.map { "\($0.lowerBound)..<\($0.upperBound)" }.joined(separator: " ")
      return "expand \(expand.request): \(expand.mode) of \(expand.source) \(runs), release \(expand.release)"
    case .frontier(let frontier):
      let keys = frontier.keys.prefix(4).map { String(decoding: $0.key, as: UTF8.self) }
      let counts = frontier.counts.prefix(12).map(String.init).joined(separator: "+")
      return
        "frontier \(frontier.request): sizes \(frontier.sizes), \(frontier.fingerprints.count) fingerprints"
        + (counts.isEmpty ? "" : ", entries \(counts)" + (frontier.counts.count > 12 ? "+…" : ""))
        + (keys.isEmpty ? "" : ", \(frontier.keys.count) keys \(keys.joined(separator: " "))")
    case .ack(let ack):
      return "ack \(ack.ordinal.rawValue) at \(ack.index.rawValue), conflicts \(ack.conflicts)"
    case .sealResult(let result):
      return "seal result root=\(short(result.root)) entries=\(result.entries) at \(result.index.rawValue)"
        + ", \(result.isEqual ? "equal" : "differs"), conflicts \(result.conflicts)"
    case .hint: return "hint"
    case .report: return "report"
    case .chunk(let chunk):
      return "chunk \(chunk.sequence): \(chunk.header.plainLength) bytes from operation "
        + "\(chunk.header.firstOrdinal.rawValue)\(chunk.isLast ? ", last" : "")"
    }
  }

  static func text(_ outcome: SyncOutcome?) -> String {
    switch outcome {
    case .equal(let position): "equal at \(position.index.rawValue)"
    case .sealed(let position, let rounds, let conflicts):
      "sealed at \(position.index.rawValue) in round \(rounds), conflicts \(conflicts)"
    case .differs(let position, let rounds, let conflicts):
      "differs at \(position.index.rawValue) after round \(rounds), conflicts \(conflicts)"
    case .compared(_, let differences): "compared, \(differences) differences"
    case nil: "unfinished"
    }
  }
}
