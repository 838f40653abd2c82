import ArgumentParser
import Glibc
import StreamDiffCore
import StreamDiffService

struct Put: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write the value of a key.",
    discussion: """
      Returns when the value is on disk and visible. Where the connection ends before the answer it is sent \
      again, and applied once; when no answer comes for half a minute, whether it was written is unknown.

      Examples:
        streamdiff put colour blue
        streamdiff put picture - < picture.png

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Argument(help: "1 byte to 8 KiB.") var key: String
  @Argument(help: "At most 1 MiB; - reads it from stdin.") var value = "-"

  func run() async throws {
    do {
      let key = try keyBytes(key)
      let bytes = value == "-" ? try Self.standardInput() : Array(value.utf8)
      guard bytes.count <= Limits.valueBytes else {
        throw ClientFailure(.refused, "the value is larger than \(Limits.valueBytes) bytes")
      }
      let client = try await server.connect()
      let index = try await client.put(key, bytes, in: keyspace.name)
      await client.close()
      if server.json {
        Output.print(JSON.object([("outcome", "applied"), ("index", .number(index.rawValue))]).text)
      }
    } catch {
      throw Exit.because(of: error, json: server.json)
    }
  }

  /// Reads one byte more than a value may have, so that too large a one shows.
  private static func standardInput() throws(ClientFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count <= Limits.valueBytes {
      let count = read(STDIN_FILENO, &buffer, buffer.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw ClientFailure(.failed, "stdin: \(String(cString: strerror(errno)))")
      }
      bytes += buffer[..<count]
    }
    return bytes
  }
}
