public import Logging
public import NIOCore
public import NIOPosix
import StreamDiffWire

/// A gRPC server on one listening port.
public final class RPCServer: Sendable {
  private let channel: any Channel
  private let shared: ServerShared
  /// As bound: an asked-for port 0 is the free one that was found.
  public let host: String
  public let port: Int

  private init(channel: any Channel, shared: ServerShared, host: String, port: Int) {
    self.channel = channel
    self.shared = shared
    self.host = host
    self.port = port
  }

  /// Listens, and serves from then on until `drain`.
  ///
  /// - Parameters:
  ///   - port: 0 picks a free one.
  ///   - group: its loops carry the connections; one or two are enough.
  ///   - connection: told of each that comes and that goes, on its loop.
  /// - Throws: why the address cannot be listened on.
  public static func bind(
    host: String, port: Int, router: RPCRouter, limits: RPCLimits = RPCLimits(),
    logger: Logger = Logger(label: "streamdiff.rpc"),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    connection: @escaping @Sendable (_ peer: String, _ isOpen: Bool) -> Void = { _, _ in }
  ) async throws -> RPCServer {
    let shared = ServerShared(
      router: router, limits: limits, logger: logger, group: group, onConnection: connection)
    let channel = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 512)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.writeBufferWaterMark, value: .forConnections)
      .childChannelOption(.recvAllocator, value: FreshRecvAllocator())
      .childChannelOption(.maxMessagesPerRead, value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // TLS, where it is wanted, stands before this handler.
          let mailbox = shared.mailbox(for: channel.eventLoop)
          try channel.pipeline.syncOperations.addHandler(ServerConnection(shared: shared, mailbox: mailbox))
        }
      }
      .bind(host: host, port: port).get()
    let address = channel.localAddress
    return RPCServer(
      channel: channel, shared: shared, host: address?.ipAddress ?? host, port: address?.port ?? port)
  }

  public func counters() -> RPCCounters.Snapshot { shared.counters.snapshot() }

  /// Stops accepting, tells every client to go elsewhere (GOAWAY) and lets open calls run to their end;
  /// after `grace` those that are left end with UNAVAILABLE. Returns when all is closed.
  public func drain(grace: Duration) async {
    try? await channel.close()
    shared.drain()
    let loop = channel.eventLoop
    let abort = loop.scheduleTask(in: TimeAmount(grace)) { [shared] in shared.abort() }
    // A handler that does not heed its cancellation must not hold the shutdown for ever.
    let giveUp = loop.scheduleTask(in: TimeAmount(grace) + Self.lastGrace) { [shared] in
      shared.logger.error(
        "handlers or connections outlived the drain",
        metadata: ["open": "\(shared.open.names.prefix(20).joined(separator: ", "))"])
      shared.open.giveUp()
    }
    await shared.open.untilNone()
    abort.cancel()
    giveUp.cancel()
  }

  private static let lastGrace = TimeAmount.seconds(10)
}

extension ChannelOptions.Types.WriteBufferWaterMark {
  /// One output of a session may wait in the channel while the next is made. (The kernel's buffer is beside it.)
  static let forConnections = Self(low: 64 << 10, high: 128 << 10)
}

/// A buffer of fitting size for each read. A channel that reuses its buffers keeps up to four of them, the size of
/// its busiest moment, for as long as it is open: a MiB for a connection that then says nothing.
///
/// NIO keeps the first buffer, and with one read at a time none after it, as long as the next "may grow".
struct FreshRecvAllocator: RecvByteBufferAllocator {
  private var sizes = AdaptiveRecvByteBufferAllocator.forConnections
  private var isFirst = true

  func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
    isFirst ? allocator.buffer(capacity: 1 << 10) : sizes.buffer(allocator: allocator)
  }

  mutating func record(actualReadBytes: Int) -> Bool {
    isFirst = false
    _ = sizes.record(actualReadBytes: actualReadBytes)
    return true
  }
}

extension AdaptiveRecvByteBufferAllocator {
  static var forConnections: Self { Self(minimum: 2 << 10, initial: 8 << 10, maximum: 256 << 10) }
}
