import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Get: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print the value of a key and nothing else.",
    discussion: """
      In a directory keyspace the key is a path: the bytes of the file, or the target of the link, are \
      printed.

      Examples:
        streamdiff get colour
        streamdiff get css/site.css --keyspace site > site.css

      \(Exit.table)
      An absent key is 1.
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Argument(help: "A key, or a path in a directory keyspace.") var key: String

  func run() async throws {
    do {
      let key = try keyBytes(key)
      let client = try await server.connect()
      let entry = try await client.get(key, in: keyspace.name)
      var printer = Printer(isJSON: server.json)
      var isFound = entry.value != nil
      if entry.kind == .directory {
        isFound = try await DirectoryListing.read(key, in: keyspace.name, from: client) { printer.add($0) }
      } else if let value = entry.value {
        printer.add(value)
      }
      await client.close()
      guard isFound else {
        if server.json { Output.print(JSON.object([("found", .bool(false))]).text) }
        Output.complain("\(self.key) is not in \(keyspace.name)")
        throw Exit.failed
      }
      printer.finish(index: entry.index)
    } catch {
      throw Exit.because(of: error)
    }
  }

  /// Bytes go out as they come; as JSON they are one member.
  private struct Printer {
    let isJSON: Bool
    var bytes: [UInt8] = []

    mutating func add(_ more: [UInt8]) {
      if isJSON { bytes += more } else { Output.write(more) }
    }

    func finish(index: LogIndex) {
      guard isJSON else { return }
      let value = JSONText.member("value", bytes)
      Output.write(Array("{\"found\":true,\"index\":\(index.rawValue),".utf8) + value + Array("}\n".utf8))
    }
  }
}
