import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Scan: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List entries in key order, as of one moment.",
    discussion: """
      Prints a line for each entry, as push takes it: {"key":…,"value":…}, with base64 members where bytes \
      are no UTF-8. In a directory keyspace it prints paths; a directory's ends in "/".

      Examples:
        streamdiff scan user/
        streamdiff scan > all.ndjson
        streamdiff scan css/ --keyspace site

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Argument(help: "Only what begins with it.") var prefix = ""

  func run() async throws {
    do {
      let prefix = try keyBytes(prefix)
      let client = try await server.connect()
      let kind = try await client.get(prefix.isEmpty ? [0] : prefix, in: keyspace.name).kind
      var lines = Lines(isJSON: server.json, isDirectory: kind == .directory)
      try await client.scan(prefix: prefix, keysOnly: kind == .directory, in: keyspace.name) { lines.add($0) }
      lines.finish()
      await client.close()
    } catch {
      throw Exit.because(of: error)
    }
  }

  /// Lines go out page by page; as JSON they are the items of one array.
  private struct Lines {
    let isJSON: Bool
    let isDirectory: Bool
    private var index: LogIndex = .zero
    private var count = 0

    init(isJSON: Bool, isDirectory: Bool) {
      (self.isJSON, self.isDirectory) = (isJSON, isDirectory)
      if isJSON { Output.write(Array("{\"entries\":[".utf8)) }
    }

    mutating func add(_ page: StreamDiffClient.Page) {
      var text: [UInt8] = []
      for (key, value) in page.entries {
        if isDirectory {
          guard let path = DirectoryListing.path(ofRecord: key) else { continue }
          begin(&text)
          text += isJSON ? JSONText.object("path", path) : Array(printable(path).utf8)
        } else {
          begin(&text)
          text += JSONText.entry(key: key, value: value)
        }
        if !isJSON { text.append(0x0a) }
      }
      index = page.index
      Output.write(text)
    }

    private mutating func begin(_ text: inout [UInt8]) {
      if isJSON, count > 0 { text.append(UInt8(ascii: ",")) }
      count += 1
    }

    func finish() {
      if isJSON { Output.write(Array("],\"count\":\(count),\"index\":\(index.rawValue)}\n".utf8)) }
    }
  }
}
