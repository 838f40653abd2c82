import ArgumentParser
import StreamDiffService

@main
enum Main {
  static func main() async {
    MemoryKeeper.setHeap()
    await Transport.main()
  }
}

/// What `tools/bench transport` runs of ours. Its peers under tools/benches/peers have the same two commands.
struct Transport: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "transport",
    abstract: "One stream between two processes: a measurement, not a product.",
    discussion: """
      `serve` prints `ready listen=HOST:PORT` and serves until it is ended. `send` keeps one call of it busy and \
      prints what it saw as a line of JSON. See tools/benches/transport.py.
      """,
    subcommands: [Serve.self, Send.self])
}

/// What a call carries. The path of its method is what the two ends agree by.
enum Work: String, ExpressibleByArgument, CaseIterable {
  /// `Sync` chunks with their checksums, acknowledged: the way of a session's bulk.
  case chunks
  /// Bytes, acknowledged.
  case bytes
  /// Bytes, each message sent back before the next.
  case echo

  var path: String { "/bench.Transport/\(rawValue)" }

  /// Messages for each acknowledgement.
  static let acknowledged = 16
}

/// Where a call's task runs.
enum Place: String, ExpressibleByArgument, CaseIterable {
  /// On its connection's event loop.
  case loop
  /// On the common pool of threads, as sessions do, whose tasks also read files and compress.
  case pool
}
