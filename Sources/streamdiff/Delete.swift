import ArgumentParser
import StreamDiffCore
import StreamDiffService

struct Delete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Remove a key.",
    discussion: """
      Removing a key that is absent is no failure.

      Example:
        streamdiff delete colour

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Argument(help: "1 byte to 8 KiB.") var key: String

  func run() async throws {
    do {
      let key = try keyBytes(key)
      let client = try await server.connect()
      let index = try await client.delete(key, in: keyspace.name)
      await client.close()
      if server.json {
        Output.print(JSON.object([("outcome", "applied"), ("index", .number(index.rawValue))]).text)
      }
    } catch {
      throw Exit.because(of: error, json: server.json)
    }
  }
}
