import StreamDiffCore
import StreamDiffService

/// A session that is taken up again when it breaks off: what is acknowledged stays, the two sides compare
/// anew, and only what is still missing travels.
struct Transfer {
  /// Without a byte from the server for so long, no attempt follows: it accepts connections and says nothing.
  private static let patience = Duration.seconds(30)

  let server: ServerOptions
  private(set) var bytesSent: UInt64 = 0
  private(set) var bytesReceived: UInt64 = 0

  init(_ server: ServerOptions) { self.server = server }

  /// - Parameter course: of the session that `session` runs each time.
  /// - Throws: `ClientFailure`: at once where another attempt would not help or no server could be reached
  ///   at all; after some attempts that came to nothing.
  mutating func run<Value>(
    _ course: SessionCourse? = nil, _ session: (StreamDiffClient) async throws -> Value
  ) async throws -> Value {
    // What was needed for a moment, as the memory of a level that was tried, is not kept for the rest.
    let keeper = Task { await MemoryKeeper.run() }
    defer { keeper.cancel() }
    var retries = RetryPolicy()
    var client: StreamDiffClient? = try await server.connect()
    var (next, silent) = (0, 0)
    let clock = ContinuousClock()
    var heard = clock.now
    while true {
      do {
        let connected: StreamDiffClient
        if let client { connected = client } else { connected = try await server.connect(from: next) }
        client = connected
        let value = try await session(connected)
        await leave(connected)
        return value
      } catch {
        let before = bytesReceived
        if let client {
          next = client.place + 1
          await leave(client)
        }
        client = nil
        if bytesReceived > before { heard = clock.now }
        let failure = ClientFailure(error)
        silent = failure.reason == .silent ? silent + 1 : 0
        guard failure.isTransient, silent < server.count, clock.now - heard < Self.patience,
          let wait = retries.failed(progress: course?.progress ?? 0)
        else {
          throw failure
        }
        if server.json == false, Output.isTerminal { Output.complain("\(failure.detail); trying again") }
        try await Task.sleep(for: wait)
      }
    }
  }

  private mutating func leave(_ client: StreamDiffClient) async {
    bytesSent += client.bytesSent
    bytesReceived += client.bytesReceived
    await client.close()
  }
}

/// What push and pull print.
struct TransferSummary {
  /// What the comparison came to: `equal` roots, a `full` transfer into nothing, or what differs (`merkle`).
  var mode: String
  var entriesTotal: Int
  var entriesChanged: Int
  var conflicts: Int
  var bytesLogical: UInt64
  var bytesSent: UInt64
  var bytesReceived: UInt64
  var seconds: Double
  var root: Digest

  var json: JSON { .object(members) }

  var members: [(String, JSON)] {
    [
      ("mode", .string(mode)), ("entries_total", .number(entriesTotal)),
      ("entries_changed", .number(entriesChanged)), ("conflicts", .number(conflicts)),
      ("bytes_logical", .number(bytesLogical)), ("bytes_sent", .number(bytesSent)),
      ("bytes_received", .number(bytesReceived)), ("seconds", .decimal(seconds)),
      ("root", .string(root.description)),
    ]
  }

  /// - Parameter what: "pushed" or the like.
  func text(_ what: String) -> String {
    let rate = readable(bytes: UInt64(seconds > 0 ? Double(bytesLogical) / seconds : 0))
    let (sent, received) = (readable(bytes: bytesSent), readable(bytes: bytesReceived))
    return """
      \(what): \(entriesChanged) of \(entriesTotal) entries changed, \(readable(bytes: bytesLogical)) in all
      sent \(sent), received \(received) in \(fixed(seconds, digits: 2)) s (\(rate)/s)\
      \(conflicts > 0 ? ", \(conflicts) conflicts" : "")
      root \(root)
      """
  }
}

extension SyncOutcome {
  /// - Parameters:
  ///   - changed: entries that travelled, in sessions that broke off too.
  ///   - isFull: whether the receiver began with nothing.
  func mode(changed: Int, isFull: Bool) -> String {
    if case .equal = self, changed == 0 { return "equal" }
    return isFull ? "full" : "merkle"
  }

  var position: SyncPosition {
    switch self {
    case .equal(let position), .compared(let position, _): position
    case .sealed(let position, _, _), .differs(let position, _, _): position
    }
  }
}
