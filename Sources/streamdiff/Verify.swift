import ArgumentParser
import StreamDiffCore
import StreamDiffService
import Synchronization

struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Compare a directory or a file of NDJSON with a keyspace, and list what differs.",
    discussion: """
      Reads every byte of PATH. Writes nothing on either side. Each line says how PATH departs from the \
      keyspace: `differs`, `missing` (only the keyspace has it), `extra` (only PATH has it).

      Examples:
        streamdiff verify ./site
        streamdiff verify users.ndjson --keyspace users --json

      \(Exit.table)
      """)

  @OptionGroup var server: ServerOptions
  @OptionGroup var keyspace: KeyspaceOptions
  @Argument(help: "A directory, or a file of NDJSON.") var path: String

  func run() async throws {
    do {
      let local = try await LocalSource.scan(path, isQuiet: server.json)
      let found = Differences(local.kind, isJSON: server.json)
      var transfer = Transfer(server)
      let report = try await transfer.run { client in
        found.begin()
        var options = SyncOptions(keyspace: keyspace.name, kind: local.kind, session: .random())
        options.isCompareOnly = true
        options.deletions = .allowed
        options.order = .byKey
        options.onPlan = { _, operations in found.add(operations) }
        return try await local.push(to: client, options: options)
      }
      let root = report.outcome.position.content.root
      // Equal roots are equal content; without them no list, however short, proves anything.
      let isEqual = root == local.tree.root
      if server.json {
        Output.print(
          JSON.object([
            ("equal", .bool(isEqual)), ("differences", .number(found.count)),
            ("keys", .array(found.listed)), ("root", .string(root.description)),
            ("local_root", .string(local.tree.root.description)),
          ]).text)
      } else if isEqual {
        Output.print("equal: \(local.entries) entries, root \(root)")
      } else {
        Output.complain("\(found.count) entries differ")
      }
      if !isEqual { throw Exit.verification }
    } catch {
      throw Exit.because(of: error)
    }
  }

  /// Collects what differs; for people it is printed as it is found.
  private final class Differences: Sendable {
    /// What the JSON lists at most.
    private static let maximumListed = 10_000

    private struct State {
      var listed: [JSON] = []
      var count = 0
      /// The path of the last difference, because pieces follow their record.
      var last: [UInt8] = []
    }

    private let kind: KeyspaceKind
    private let isJSON: Bool
    private let state = Mutex(State())

    init(_ kind: KeyspaceKind, isJSON: Bool) { (self.kind, self.isJSON) = (kind, isJSON) }

    var count: Int { state.withLock { $0.count } }
    var listed: [JSON] { state.withLock { $0.listed } }

    /// Starts again, with another comparison.
    func begin() { state.withLock { $0 = State() } }

    func add(_ operations: [PlannedOperation]) {
      state.withLock { state in
        var lines = ""
        for operation in operations {
          let name = kind == .plain ? operation.key : DirectoryListing.path(of: operation.key)
          guard name != state.last || kind == .plain else { continue }
          state.last = name
          state.count += 1
          let isWhole = kind == .plain || DirectoryListing.path(ofRecord: operation.key) != nil
          let how = isWhole ? Self.how(operation) : "differs"
          lines += "\(how)  \(printable(name))\n"
          if state.listed.count < Self.maximumListed {
            state.listed.append(.object(JSON.key(name) + [("how", .string(how))]))
          }
        }
        if !isJSON { Output.write(Array(lines.utf8)) }
      }
    }

    private static func how(_ operation: PlannedOperation) -> String {
      if operation.change == .delete { return "missing" }
      return operation.expectation == .absent ? "extra" : "differs"
    }
  }
}
