public import Logging
public import NIOCore
public import NIOPosix
public import StreamDiffCore
import StreamDiffWire
import Synchronization

public struct ServerConfiguration: Sendable {
  public var replica: Replica.Configuration
  public var host: String
  /// 0 picks a free one.
  public var port: Int
  public var limits = RPCLimits()
  /// How its sessions adapt, as far as nothing else is set (`TuningTable`): checked at the start.
  public var tunables: [Setting] = []
  /// Where sessions in which it sends are traced.
  public var traceDirectory: String?
  /// As `status` reports it.
  public var version: String

  public init(directory: String, host: String = "127.0.0.1", port: Int = 7400, version: String) {
    replica = Replica.Configuration(directory: directory)
    (self.host, self.port, self.version) = (host, port, version)
  }
}

/// A replica and the services on it, from an open data directory to a drained port.
public final class StreamDiffServer: Sendable {
  public let replica: Replica
  private let health: HealthService
  private let server: RPCServer
  private let tuning: ServerTuning
  private let traces: TraceDirectory?
  /// Shares what its sessions send.
  public let governor: SendGovernor

  public var host: String { server.host }
  public var port: Int { server.port }

  private init(
    replica: Replica, health: HealthService, server: RPCServer, tuning: ServerTuning, traces: TraceDirectory?,
    governor: SendGovernor
  ) {
    (self.replica, self.health, self.server, self.tuning) = (replica, health, server, tuning)
    (self.traces, self.governor) = (traces, governor)
  }

  /// Reads the tunables' file again. One that is wrong is logged and changes nothing.
  public func reloadTunables() async {
    let tuning = tuning
    try? await NIOThreadPool.singleton.runIfActive { tuning.reload() }
  }

  /// Opens the data directory, replays what it must, and listens: when this returns, it serves.
  /// - Throws: `StorageError` naming the file or directory at fault, or why the address cannot be used.
  public static func start(
    _ configuration: ServerConfiguration, logger: Logger,
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) async throws -> StreamDiffServer {
    let traces = try configuration.traceDirectory.map { path throws(ClientFailure) in
      try TraceDirectory(path, logger: logger)
    }
    let (tuning, replica) = try await NIOThreadPool.singleton.runIfActive {
      // First: a file with a mistake is no reason to open anything.
      let tuning = try ServerTuning(
        flags: configuration.tunables, directory: configuration.replica.directory,
        fileSystem: configuration.replica.fileSystem, logger: logger)
      return (tuning, try Replica(opening: configuration.replica, logger: logger))
    }
    let bound = Bound()
    let governor = SendGovernor()
    let (router, health) = services(
      on: replica, tuning, traces, governor, version: configuration.version, bound: bound)
    do {
      let server = try await RPCServer.bind(
        host: configuration.host, port: configuration.port, router: router, limits: configuration.limits,
        logger: logger, group: group, connection: tuning.connection)
      bound.server.withLock { $0 = server }
      replica.whenFailed { _ in health.set(isServing: false) }
      return StreamDiffServer(
        replica: replica, health: health, server: server, tuning: tuning, traces: traces, governor: governor)
    } catch {
      try? await NIOThreadPool.singleton.runIfActive { try replica.stop() }
      throw error
    }
  }

  /// Says NOT_SERVING, takes no more connections, lets calls run to their end for at most `grace`, and
  /// puts everything accepted on disk, and what was traced into its files.
  /// - Throws: why the replica failed, now or before.
  public func stop(grace: Duration = .seconds(30)) async throws {
    health.set(isServing: false)
    await server.drain(grace: grace)
    let replica = replica
    let stopped: Result<Void, any Error>
    do {
      stopped = .success(try await NIOThreadPool.singleton.runIfActive { try replica.stop() })
    } catch {
      stopped = .failure(error)
    }
    await traces?.close()
    try stopped.get()
  }

  /// The port's side, known to services only once it is bound.
  private final class Bound: Sendable {
    let server = Mutex<RPCServer?>(nil)
  }

  private static func services(
    on replica: Replica, _ tuning: ServerTuning, _ traces: TraceDirectory?, _ governor: SendGovernor,
    version: String, bound: Bound
  ) -> (router: RPCRouter, health: HealthService) {
    let counters = ServiceCounters()
    let registry = SyncRegistry()
    let group = GroupService(
      replica: replica, counters: counters, sessions: registry, governor: governor, tuning: tuning,
      version: version
    ) {
      bound.server.withLock { $0 }.map { ("\($0.host):\($0.port)", $0.counters()) }
    }
    var router = KeyValueService(replica: replica, counters: counters, governor: governor).router
    router.merge(group.router)
    router.merge(
      SyncService(
        replica: replica, counters: counters, registry: registry, tuning: tuning, traces: traces,
        governor: governor
      ).router)
    router.merge(TuningService(tuning: tuning, pool: replica.pool).router)
    let health = HealthService(services: router.services)
    router.merge(health.router)
    router.merge(ReflectionService(services: router.services).router)
    return (router, health)
  }
}
