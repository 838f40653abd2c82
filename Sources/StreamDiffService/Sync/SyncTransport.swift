import NIOCore
public import StreamDiffCore
import StreamDiffWire

/// Carries a session's messages, in order. Several tasks may send; one receives.
public protocol SyncTransport: Sendable {
  /// Waits while too much is unsent.
  func send(_ message: SyncMessage) async throws

  /// - Returns: `nil` when the peer will send no more.
  /// - Throws: `SyncError(.dataLoss)` for bytes that are no message.
  func receive() async throws -> SyncMessage?

  /// Nothing more will be sent.
  /// - Returns: whether the peer's end is still to be received: a client waits for its status, while a
  ///   server's call ends by returning.
  func finish() async throws -> Bool

  /// Whether the session ends for both when this side returns, once all it had to say is sent: a server's call.
  var endsByReturning: Bool { get }

  /// The connection below; `nil` where there is none.
  var link: ConnectionLink? { get }
}

extension SyncTransport {
  public var endsByReturning: Bool { false }
}

/// The server's end of a `Sync` call.
struct ServerSyncTransport: SyncTransport {
  private let stream: ServerStream
  private let activity: CallActivity

  /// - Parameter activity: touched by each message, either way.
  init(_ stream: ServerStream, activity: CallActivity) {
    (self.stream, self.activity) = (stream, activity)
  }

  func send(_ message: SyncMessage) async throws {
    try await stream.send(message.encode())
    activity.touch()
  }

  func receive() async throws -> SyncMessage? {
    guard let bytes = try await stream.next() else { return nil }
    activity.touch()
    return try SyncMessage(arriving: bytes)
  }

  func finish() async throws -> Bool { false }

  var endsByReturning: Bool { true }

  var link: ConnectionLink? { stream.link }
}

/// The client's end of a `Sync` call.
public struct ClientSyncTransport: SyncTransport {
  private let stream: ClientStream
  private let meter: SyncMeter

  /// - Parameter meter: counts messages that come.
  public init(_ stream: ClientStream, meter: SyncMeter) { (self.stream, self.meter) = (stream, meter) }

  public func send(_ message: SyncMessage) async throws { try await stream.send(message.encode()) }

  public func receive() async throws -> SyncMessage? {
    guard let bytes = try await stream.next() else { return nil }
    meter.messages.add(1)
    return try SyncMessage(arriving: bytes)
  }

  public func finish() async throws -> Bool {
    stream.halfClose()
    return true
  }

  public var link: ConnectionLink? { stream.link }
}

extension SyncMessage {
  /// A message that its session cannot read was damaged: a peer that follows the contract writes none.
  fileprivate init(arriving bytes: ByteBuffer) throws(SyncError) {
    do throws(WireError) {
      try self.init(decoding: bytes)
    } catch {
      let code: SyncError.Code = error.code == .tooLarge ? .limit : .dataLoss
      throw SyncError(code, "a message of \(bytes.readableBytes) bytes cannot be read: \(error.detail)")
    }
  }
}
