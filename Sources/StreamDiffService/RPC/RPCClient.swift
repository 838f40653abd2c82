import Glibc
public import NIOCore
public import NIOPosix
public import StreamDiffWire
import Synchronization

/// One connection to a gRPC server. It does not reconnect: what failed as unreachable may be tried on a
/// new one.
public final class RPCClient: Sendable {
  private let channel: any Channel
  private let mailbox: LoopMailbox
  private let connection: NIOLoopBound<ClientConnection>
  private let limits: RPCLimits
  private let authority: String
  private let bytes: ByteCounters

  private init(
    channel: any Channel, mailbox: LoopMailbox, connection: NIOLoopBound<ClientConnection>, limits: RPCLimits,
    authority: String, bytes: ByteCounters
  ) {
    self.channel = channel
    self.mailbox = mailbox
    self.connection = connection
    self.limits = limits
    self.authority = authority
    self.bytes = bytes
  }

  deinit { mailbox.post { [connection] in connection.value.shutDown() } }

  /// - Throws: `.unreachable`.
  public static func connect(
    host: String, port: Int, limits: RPCLimits = RPCLimits(), connectTimeout: Duration = .seconds(10),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
  ) async throws(RPCError) -> RPCClient {
    let bytes = ByteCounters()
    let mailbox = LoopMailbox(for: group.next())
    do {
      let bootstrap = ClientBootstrap(group: mailbox.loop)
        .connectTimeout(TimeAmount(connectTimeout))
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelOption(.writeBufferWaterMark, value: .forConnections)
        .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator.forConnections)
      let (channel, connection) = try await bootstrap.connect(host: host, port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          // TLS, where it is wanted, stands before this handler.
          let connection = try ClientConnection(limits: limits, mailbox: mailbox, bytes: bytes)
          try channel.pipeline.syncOperations.addHandler(connection)
          return (channel, NIOLoopBound(connection, eventLoop: channel.eventLoop))
        }
      }
      return RPCClient(
        channel: channel, mailbox: mailbox, connection: connection, limits: limits,
        authority: "\(host):\(port)", bytes: bytes)
    } catch {
      throw .unreachable("\(host):\(port): \(Self.reason(error))")
    }
  }

  /// What a person can act on: the system's word for it, where there is one.
  private static func reason(_ error: any Error) -> String {
    guard let failure = error as? NIOConnectionError else { return "\(error)" }
    let causes = failure.connectionErrors.map { single in
      (single.error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(single.error)"
    }
    return causes.first ?? "the name has no address"
  }

  /// The loop of the connection as an executor: a task that prefers it (`withTaskExecutorPreference`) sends
  /// and takes messages without a change of thread. It must not block there.
  public var executor: any TaskExecutor { mailbox }

  /// Socket bytes since the connection was opened.
  public var bytesSent: UInt64 { bytes.sent.load(ordering: .relaxed) }
  public var bytesReceived: UInt64 { bytes.received.load(ordering: .relaxed) }

  /// Begins a call. That it cannot reach the server shows at its first `next` or `send`.
  ///
  /// - Parameters:
  ///   - path: `/package.Service/Method`.
  ///   - timeout: the call's deadline, which the server is told and both ends keep.
  public func open(
    _ path: String, metadata: Metadata = Metadata(), timeout: Duration? = nil
  ) async throws(RPCError) -> ClientStream {
    let pipe = CallPipe(limits: limits) { [mailbox, connection] pipe in
      mailbox.post { connection.value.visit(pipe) }
    }
    let head = GRPCRequestHead(
      path: path, authority: authority, scheme: "http", timeout: timeout, metadata: metadata)
    let deadline = timeout.map { NIODeadline.now() + TimeAmount($0) }
    mailbox.post { [connection] in connection.value.start(pipe, head, deadline) }
    return ClientStream(
      pipe: pipe, link: ConnectionLink(mailbox: mailbox) { [connection] in connection.value })
  }

  /// One message out, one in.
  ///
  /// - Throws: also INTERNAL when the server's answer is not one message.
  public func unary(
    _ path: String, _ request: ByteBuffer, metadata: Metadata = Metadata(), timeout: Duration? = nil
  ) async throws(RPCError) -> ByteBuffer {
    let call = try await open(path, metadata: metadata, timeout: timeout)
    // A call that has already ended says so, better, to the reader.
    do throws(RPCError) { try await call.send(request) } catch { _ = try await call.next() }
    call.halfClose()
    guard let answer = try await call.next() else {
      throw RPCError(.internal, "\(path): an answer without a message")
    }
    guard try await call.next() == nil else {
      throw RPCError(.internal, "\(path): more than one message in the answer")
    }
    return answer
  }

  /// Lets open calls end and closes the connection.
  public func close() async {
    mailbox.post { [connection] in connection.value.shutDown() }
    try? await channel.closeFuture.get()
  }
}
