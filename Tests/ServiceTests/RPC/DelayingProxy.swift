import NIOCore
import NIOPosix

/// A TCP proxy that keeps what comes, either way, for a time: the kernels at both ends see a short way.
final class DelayingProxy: Sendable {
  private let channel: any Channel
  let port: Int

  private init(_ channel: any Channel, port: Int) { (self.channel, self.port) = (channel, port) }

  static func start(to port: Int, delay: TimeAmount) async throws -> DelayingProxy {
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { inner in
        ClientBootstrap(group: inner.eventLoop).connect(host: "127.0.0.1", port: port).flatMapThrowing {
          outer in
          try inner.pipeline.syncOperations.addHandler(Forwarder(to: outer, delay))
          try outer.pipeline.syncOperations.addHandler(Forwarder(to: inner, delay))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    return DelayingProxy(channel, port: channel.localAddress?.port ?? 0)
  }

  /// Takes no more connections.
  func close() async throws { try await channel.close() }

  private final class Forwarder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let peer: any Channel
    private let delay: TimeAmount
    /// In the order in which it came; `nil` is the end.
    private var waiting = CircularBuffer<ByteBuffer?>()

    init(to peer: any Channel, _ delay: TimeAmount) { (self.peer, self.delay) = (peer, delay) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { keep(unwrapInboundIn(data), context) }
    func channelInactive(context: ChannelHandlerContext) { keep(nil, context) }

    private func keep(_ bytes: ByteBuffer?, _ context: ChannelHandlerContext) {
      waiting.append(bytes)
      context.eventLoop.assumeIsolated().scheduleTask(in: delay) {
        guard let next = self.waiting.popFirst() else { return }
        guard let bytes = next else { return self.peer.close(promise: nil) }
        self.peer.writeAndFlush(bytes, promise: nil)
      }
    }
  }
}
