public import NIOCore
import StreamDiffCore

/// Bounds of one server or client, each with its unit and reason.
public struct RPCLimits: Sendable {
  /// Bytes of one received message; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var messageBytes = Limits.messageBytes
  /// Bytes of one call's headers, as HTTP/2 counts them (32 more for each field).
  public var headerBytes = 16 << 10
  /// Calls open at once on a connection: what a peer may start here, what a client starts by itself.
  public var concurrentCalls = 1000
  /// Connections open at once on a server: one more is told to come back later and closed.
  public var connections = 1024
  /// Received bytes of one stream that the application has not taken. At least a whole message.
  public var streamWindow = 8 << 20
  /// The same over all streams of a connection.
  public var connectionWindow = 32 << 20
  /// Bytes of messages begun and not complete, whose credit had to be returned, over one connection:
  /// the call that goes beyond ends with RESOURCE_EXHAUSTED.
  public var incompleteBytes = 64 << 20
  /// The largest frame a peer may send: large ones cost a third of the CPU in bulk transfers.
  public var frameBytes = 256 << 10
  /// Unsent bytes of a stream from which `send` waits.
  public var sendQueueBytes = 1 << 20
  /// Until the HTTP/2 preface has arrived: a connection that says nothing holds a descriptor.
  public var prefaceTimeout = TimeAmount.seconds(10)
  /// Without any call for so long, a connection is closed.
  public var idleTimeout = TimeAmount.minutes(30)
  /// Without a received byte for so long, a PING is sent.
  public var keepaliveInterval = TimeAmount.seconds(30)
  /// Without a received byte after the PING for so long, the peer counts as gone.
  public var keepaliveTimeout = TimeAmount.seconds(20)

  public init() {}
}
