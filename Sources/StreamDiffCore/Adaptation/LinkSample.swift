/// What the kernel says of a connection at one moment: fields of Linux's `tcp_info`. Totals are since the connection
/// was made.
///
/// `rttVariance`, `minRTT`, `deliveryRate` and `isAppLimited` decide nothing. They are in traces, for the person who asks
/// whether the kernel saw the link as `LinkEstimate` does.
public struct LinkSample: Hashable, Sendable {
  /// `tcpi_rtt`, smoothed. Zero while unknown, as the two below.
  public var rtt = Duration.zero
  /// `tcpi_rttvar`. What counts as queueing is told by a share of the distance and milliseconds beside it, which variance
  /// on a long quiet link would only blur.
  public var rttVariance = Duration.zero
  /// `tcpi_min_rtt`, over the machine's `tcp_min_rtt_wlen`, 300 s as it comes: after a rise of the distance the old one
  /// holds for minutes. `LinkEstimate.minRTT` is of 10 s.
  public var minRTT = Duration.zero
  /// `tcpi_bytes_sent`, retransmitted ones included; `tcpi_bytes_retrans`; `tcpi_bytes_acked`.
  public var bytesSent: UInt64 = 0
  public var bytesRetransmitted: UInt64 = 0
  public var bytesAcknowledged: UInt64 = 0
  /// `tcpi_delivery_rate`, bytes per second: the newest the kernel measured, of a round trip and often of a burst.
  /// `LinkEstimate.busyRate` counts `bytesAcknowledged` over several.
  public var deliveryRate: UInt64 = 0
  /// `tcpi_delivery_rate_app_limited`: when that was measured there was less to send than would have gone. Whether there is
  /// always something to send `bytesNotSent` tells, and how long the sender waited for room.
  public var isAppLimited = false
  /// `tcpi_notsent_bytes`: written and not sent once.
  public var bytesNotSent: UInt64 = 0
  /// The connection's congestion control.
  public var congestion = CongestionControl.other

  public init() {}
}

/// Linux's names of those that are chosen between here.
public enum CongestionControl: String, Hashable, Sendable {
  case bbr
  case cubic
  /// Whatever else the system has.
  case other
}
