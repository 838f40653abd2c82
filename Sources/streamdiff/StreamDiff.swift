import ArgumentParser
import Glibc
import StreamDiffService

@main
enum Program {
  static func main() async {
    MemoryKeeper.setHeap()
    refuseArgumentsThatAreNoText()
    await StreamDiff.main()
  }

  /// Swift repairs arguments that are not UTF-8: two keys could become one, unseen.
  private static func refuseArgumentsThatAreNoText() {
    for place in 0..<Int(CommandLine.argc) {
      guard let argument = CommandLine.unsafeArgv[place], String(validatingCString: argument) == nil else {
        continue
      }
      Output.complain(
        "argument \(place) is not UTF-8; keys of other bytes can be read and written through NDJSON "
          + "(key_base64), values through standard input")
      exit(64)
    }
  }
}

struct StreamDiff: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "streamdiff",
    abstract: "Keeps replicated key-value state and directories in step by sending what differs, verified.",
    discussion: """
      A server, with nothing else to set up; then a keyspace made equal to ./site, and
      ./copy made equal to that:
        streamdiff serve --data-dir ./data
        streamdiff push ./site
        streamdiff pull ./copy

      \(Exit.table)
      """,
    version: version,
    subcommands: [
      Serve.self, Push.self, Pull.self, Verify.self, Get.self, Put.self, Delete.self, Scan.self, Status.self,
      Tune.self, Check.self,
    ])
}
