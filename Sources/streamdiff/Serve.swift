import ArgumentParser
import Glibc
import Logging
import NIOCore
import ServiceLifecycle
import StreamDiffCore
import StreamDiffService
import UnixSignals

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a data directory.",
    discussion: """
      Prints `ready listen=HOST:PORT` once it serves. SIGTERM and SIGINT end it gracefully: calls are let \
      run to their end, everything accepted is on disk. SIGHUP makes it read DIR/tunables.conf again.

      Tunables are what its sessions adapt by where it sends (pulls): of both sides' limits the narrower hold, and what \
      else is set here no pull overrules. Of pushes it asks the limits among its flags and all that `tune` or the file \
      sets. The file (`name = value`, `[peer ADDRESS:PORT]`, `#`) takes precedence over \
      flags, `tune` over the file; at each, a host over all peers, and one connection over its host. A file with a \
      mistake refuses the start, and at SIGHUP changes nothing.

      Examples:
        streamdiff serve --data-dir /var/lib/streamdiff
        streamdiff serve --data-dir ./data --listen 127.0.0.1:0
        streamdiff serve --data-dir ./data --listen 0.0.0.0:7400 --insecure

      \(Exit.table)
      """)

  @Option(help: ArgumentHelp("Where everything is kept; created when missing.", valueName: "dir"))
  var dataDir: String

  @Option(help: ArgumentHelp("Where to listen; port 0 picks a free one.", valueName: "host:port"))
  var listen = "127.0.0.1:7400"

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Senders that come back within this time go on where they stopped; 200ms to 31 days.",
      valueName: "1h|90s|500ms"))
  var sessionLifetime = TimeSpan(SessionExpiryPolicy.defaultLifetime)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      """
      Free space below which every write is refused and reads go on, but never less than accepted writes may \
      still need: 208 MiB, down to 16 MiB on disks under 1 GiB. By default that, and 256 MiB or 5 % of a \
      smaller disk beside it.
      """, valueName: "bytes"))
  var diskFloor: ByteSize?

  @Flag(name: .long, help: "Listen in clear text beyond this machine.")
  var insecure = false

  @Option(
    help: ArgumentHelp(
      """
      Write every decision of sessions in which it sends, and what it was made from, as NDJSON: a file each, \
      streamdiff-trace-….ndjson, of at most 64 MiB. Beyond 1 GiB the oldest of them are removed, and nothing else.
      """, valueName: "dir"))
  var trace: String?

  @OptionGroup(title: "Adaptation, of pulls; limits also of pushes") var tunables: TunableOptions

  func validate() throws {
    guard ServerAddress(listen) != nil else { throw ValidationError(ServerAddress.fault(of: listen)) }
    guard SessionExpiryPolicy.lifetimes.contains(sessionLifetime.duration) else {
      throw ValidationError("--session-lifetime \(sessionLifetime): it takes 200ms to 744h")
    }
    guard !dataDir.isEmpty else { throw ValidationError("--data-dir is empty") }
    _ = try tunables.settings()
  }

  func run() async throws {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let logger = Logger(label: "streamdiff")
    tunables.warnOfIdle()
    do {
      guard let address = ServerAddress(listen) else {
        throw ClientFailure(.refused, ServerAddress.fault(of: listen))
      }
      guard address.isLoopback || insecure else {
        throw ClientFailure(
          .refused,
          "\(address) is beyond this machine and would be served in clear text: --insecure allows it")
      }
      var configuration = ServiceGroupConfiguration(
        services: [
          ServerService(
            directory: dataDir, address: address, sessions: sessionLifetime.duration,
            diskFloor: diskFloor?.bytes, tunables: tunables.given,
            trace: trace, logger: logger)
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
      configuration.maximumGracefulShutdownDuration = .seconds(60)
      try await ServiceGroup(configuration: configuration).run()
    } catch {
      throw Exit.because(of: error)
    }
  }
}

/// Descriptors of the process. A state that cannot open a file has failed for good, so that connections must
/// never take the last ones.
private enum DescriptorLimit {
  /// For the state's tables (512 at most), the log, and what a process has anyway.
  private static let kept = 640

  /// As many connections as `wanted`, or as the system lets this process have beside `kept` files. Raises the
  /// soft limit to the hard one.
  static func connections(_ wanted: Int) -> Int {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return wanted }
    if limit.rlim_cur < limit.rlim_max {
      limit.rlim_cur = limit.rlim_max
      _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
    return max(16, min(wanted, Int(clamping: limit.rlim_cur) - kept))
  }
}

/// A server from its start to its graceful end.
private struct ServerService: Service {
  let directory: String
  let address: ServerAddress
  let sessions: Duration
  let diskFloor: UInt64?
  let tunables: [Setting]
  let trace: String?
  let logger: Logger

  func run() async throws {
    var configuration = ServerConfiguration(
      directory: directory, host: address.host, port: address.port, version: StreamDiff.version)
    configuration.replica.sessions = SessionExpiryPolicy(lifetime: sessions)
    configuration.limits.connections = DescriptorLimit.connections(configuration.limits.connections)
    configuration.replica.diskFloor = diskFloor
    (configuration.tunables, configuration.traceDirectory) = (tunables, trace)
    // Before anybody can know that it serves.
    let hangups = await UnixSignalsSequence(trapping: .sighup)
    let server: StreamDiffServer
    do {
      server = try await StreamDiffServer.start(configuration, logger: logger)
    } catch let error as IOError {
      let reason = String(cString: strerror(error.errnoCode))
      throw ClientFailure(.failed, "cannot listen on \(address): \(reason)")
    } catch {
      let failure = ClientFailure(error)
      throw failure.kind == .verification ? damaged(failure.detail) : failure
    }
    Output.print("ready listen=\(ServerAddress(host: server.host, port: server.port))")
    let (failures, input) = AsyncStream<ReplicaError>.makeStream(bufferingPolicy: .bufferingOldest(1))
    server.replica.whenFailed { input.yield($0) }
    let keeper = Task { await MemoryKeeper.run() }
    defer { keeper.cancel() }
    let reloader = Task { for await _ in hangups { await server.reloadTunables() } }
    defer { reloader.cancel() }
    // Ends with the shutdown signal, or with the replica.
    var failure: ReplicaError?
    for await reason in failures.cancelOnGracefulShutdown() {
      failure = reason
      break
    }
    do {
      try await server.stop()
    } catch  where failure != nil {
      // The failure itself is told below.
    }
    if let failure { throw failure.isDamage ? damaged("\(failure)") : ClientFailure(.failed, "\(failure)") }
  }

  /// Starting again would not help: a supervisor is told so by the exit code, and people what to do.
  private func damaged(_ detail: String) -> ClientFailure {
    ClientFailure(
      .verification, "\(detail); `streamdiff check --data-dir \(directory)` names everything that is damaged")
  }
}
