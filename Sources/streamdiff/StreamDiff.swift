import ArgumentParser

@main
struct StreamDiff: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "streamdiff",
    abstract: "Keeps replicated key-value state and directories in step by sending what differs, verified.",
    discussion: """
      streamdiff serve --data-dir /var/lib/streamdiff     a server; nothing else to set up
      streamdiff push ./site                              makes its keyspace equal to ./site
      streamdiff pull ./copy                              makes ./copy equal to the keyspace

      \(Exit.table)
      """,
    version: version,
    subcommands: [
      Serve.self, Push.self, Pull.self, Verify.self, Get.self, Put.self, Delete.self, Scan.self, Status.self,
    ])
}
