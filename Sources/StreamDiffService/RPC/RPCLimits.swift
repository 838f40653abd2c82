public import NIOCore
import StreamDiffCore

/// Bounds of one server or client, each with its unit and reason.
public struct RPCLimits: Sendable {
  // MARK: What a peer may open

  /// Bytes of one received message; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var messageBytes = Limits.messageBytes
  /// Bytes of one call's headers, as HTTP/2 counts them (32 more for each field).
  public var headerBytes = 16 << 10
  /// Calls open at once on a connection: what a peer may start here, what a client starts by itself.
  public var concurrentCalls = 1000
  /// Calls open at once on a server, at 2 KiB each. Beyond, RESOURCE_EXHAUSTED ends those of connections that
  /// have more than their share (this divided by `connections`).
  public var serverCalls = 32 << 10
  /// Connections open at once on a server. For one more the oldest that has not sent its preface is closed,
  /// else the one that has had no call for the longest, `idleGrace` at least; else it is told to come back later.
  public var connections = 1024
  /// Connections that were refused and still take their last words; beyond, they are closed without any.
  public var lingeringConnections = 256

  // MARK: What is held of what it sends

  /// Received bytes of one stream that the application has not taken: a whole message, and what a session's
  /// credit lets its sender have under way.
  public var streamWindow = 4 << 20
  /// The same over all streams of a connection: four streams at full speed.
  public var connectionWindow = 16 << 20
  /// Bytes received on one connection and not taken: messages that have not come whole give their credit back,
  /// or none of many would ever complete. The call that goes beyond ends with RESOURCE_EXHAUSTED.
  public var heldBytes = 64 << 20
  /// The same over all connections of a server; what goes beyond ends as with `serverCalls`.
  public var serverHeldBytes = 256 << 20
  /// The largest frame a peer may send: large ones cost a third of the CPU in bulk transfers.
  public var frameBytes = 256 << 10

  // MARK: What it does not read

  /// Unsent bytes of a stream, on the way to the loop and there, from which `send` waits…
  public var sendQueueBytes = 512 << 10
  /// …until the loop has so few: a task on another thread is then woken once for several chunks, and the loop
  /// finds some until they come.
  public var sendQueueLowBytes: Int { sendQueueBytes / 4 }
  /// Unsent bytes of a connection from which streams with some wait, and unary calls are not begun.
  public var connectionSendBytes = 1 << 20
  /// What a connection holds unsent up to which a scan makes its first page. A page that is being made counts as
  /// the longest there is…
  public var connectionFirstPageBytes = 4 << 20
  /// …and up to which a scan that was read so far makes its next: others that stalled must not keep it waiting.
  public var connectionPageBytes = 16 << 20
  /// Lookups of a connection that are begun and not answered: each may become an answer of 1 MiB.
  public var lookups = 32
  /// Unsent bytes over all connections of a server; beyond, those with more than their share wait, and
  /// their lookups end with RESOURCE_EXHAUSTED. From half of it on, each connection has one page of its scans
  /// at a time, and beyond all of it none begins.
  public var serverSendBytes = 256 << 20

  // MARK: How long it may take

  /// Until the HTTP/2 preface has arrived, and until a header section has: both are one packet.
  public var prefaceTimeout = TimeAmount.seconds(10)
  /// For a call's first message and each that has begun, beside what `messageBytesPerSecond` gives it: a
  /// client that has opened a call knows what it wants.
  public var messageTimeout = TimeAmount.seconds(30)
  /// The slowest rate at which a message may come.
  public var messageBytesPerSecond = 4 << 10
  /// An answer of which not a byte could leave for so long is not read: its call is reset.
  public var unreadTimeout = TimeAmount.seconds(60)
  /// The same of a scan, while more than half of `serverSendBytes` is held: others wait for its place.
  public var scarceUnreadTimeout = TimeAmount.seconds(10)
  /// How often open calls are looked at for that: a fraction of the times above.
  public var lookInterval = TimeAmount.seconds(5)
  /// A socket that took no byte for so long, while some wait: the peer sends and never reads.
  public var blockedTimeout = TimeAmount.minutes(5)
  /// Without any call for so long, a connection is closed.
  public var idleTimeout = TimeAmount.minutes(30)
  /// Without any call for so long, a connection may have to give way to a new one.
  public var idleGrace = TimeAmount.seconds(10)
  /// Without a received byte for so long, a PING is sent.
  public var keepaliveInterval = TimeAmount.seconds(30)
  /// Without a received byte after the PING for so long, the peer counts as gone.
  public var keepaliveTimeout = TimeAmount.seconds(20)

  // MARK: How often it may do what brings nothing (`FrameCounts`; GOAWAY with ENHANCE_YOUR_CALM ends it)

  /// Resets at once: 1 500 quick cancels are honest…
  public var resetBurst = 10_000
  /// …and this many each second on end are still; above is the rapid-reset attack.
  public var resetsPerSecond = 1_000
  /// Frames that carry nothing, at once…
  public var idleFrameBurst = 20_000
  /// …and each second on end, beside four for each DATA frame that we sent.
  public var idleFramesPerSecond = 2_000

  public init() {}

  /// Whether a connection's part of something has to shrink: all of it is over `bound`, and this is more than
  /// an equal share. (So nobody who holds little pays for those who hold much.)
  func mustShrink(_ part: Int, of all: Int, bound: Int) -> Bool {
    all > bound && part > bound / connections
  }
}
