import CLinux
import Glibc
import NIOCore
import StreamDiffCore

/// A connection's socket as a session's controller sees it: asked from any task, answered on the connection's loop.
public final class ConnectionLink: Sendable {
  private let mailbox: LoopMailbox
  /// On its loop.
  private let connection: @Sendable () -> HTTP2Connection

  init(mailbox: LoopMailbox, _ connection: @escaping @Sendable () -> HTTP2Connection) {
    (self.mailbox, self.connection) = (mailbox, connection)
  }

  /// What is known at one moment.
  struct Look {
    /// `nil` where the kernel tells nothing, or the connection is over.
    var kernel: LinkSample?
    /// The newest, however old it is.
    var roundTrip: RoundTripMeter.Measured?
  }

  /// - Parameter measuring: whether a PING may leave, for a later look.
  func look(measuring: Bool) async -> Look {
    await onConnection { connection in
      if measuring { connection.measureRoundTrip() }
      return Look(
        kernel: connection.withSocket { LinkSample(ofSocket: $0) } ?? nil,
        roundTrip: connection.roundTrips.latest)
    }
  }

  /// Why a congestion control is not in use.
  enum Refusal: CustomStringConvertible {
    case connectionIsOver
    /// Its errno.
    case bySystem(CInt)

    var description: String {
      switch self {
      case .connectionIsOver: "the connection is over"
      case .bySystem(let code): String(cString: strerror(code))
      }
    }
  }

  /// Has the kernel use `congestion` from now on.
  /// - Returns: why it does not.
  func use(_ congestion: CongestionControl) async -> Refusal? {
    let failure: CInt?? = await onConnection { connection in
      connection.withSocket { streamdiff_set_congestion($0, congestion.rawValue) == 0 ? nil : errno }
    }
    guard let failure else { return .connectionIsOver }
    return failure.map { .bySystem($0) }
  }

  private func onConnection<Value: Sendable>(
    _ body: @escaping @Sendable (HTTP2Connection) -> Value
  ) async -> Value {
    await withCheckedContinuation { continuation in
      mailbox.post { [connection] in continuation.resume(returning: body(connection())) }
    }
  }
}

extension HTTP2Connection {
  /// On the loop. `nil` where the channel is over or has no socket.
  func withSocket<Value>(_ body: (CInt) -> Value) -> Value? {
    guard isOpen, let channel else { return nil }
    return try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(of: CInt.self) { body($0) }
  }

  /// What the kernel holds unsent stays small: chunks wait in our queues, where what comes next is still open.
  func limitUnsent() { _ = withSocket { streamdiff_set_notsent_lowat($0, Self.unsentBytes) } }

  /// Enough for a gigabit's millisecond.
  private static var unsentBytes: CInt { 128 << 10 }
}

extension LinkSample {
  init?(ofSocket socket: CInt) {
    var info = streamdiff_tcp_info()
    guard streamdiff_tcp_info(socket, &info) == 0 else { return nil }
    self.init()
    rtt = .microseconds(Int64(info.rtt))
    rttVariance = .microseconds(Int64(info.rttvar))
    // The kernel's word for "none yet".
    minRTT = info.min_rtt == .max ? .zero : .microseconds(Int64(info.min_rtt))
    bytesSent = info.bytes_sent
    bytesRetransmitted = info.bytes_retrans
    bytesAcknowledged = info.bytes_acked
    deliveryRate = info.delivery_rate
    isAppLimited = info.app_limited_and_fastopen & 1 != 0
    bytesNotSent = UInt64(info.notsent_bytes)
    var name: (Int64, Int64) = (0, 0)
    withUnsafeMutableBytes(of: &name) { bytes in
      guard let start = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
      if streamdiff_get_congestion(socket, start) == 0 {
        congestion = CongestionControl(rawValue: String(cString: start)) ?? .other
      }
    }
  }
}
