/// What the kernel says of a connection at one moment: fields of Linux's `tcp_info`. Totals are since the connection
/// was made.
public struct LinkSample: Hashable, Sendable {
  /// `tcpi_rtt`, smoothed; `tcpi_rttvar`; `tcpi_min_rtt`, of the last minutes. Zero while unknown.
  public var rtt = Duration.zero
  public var rttVariance = Duration.zero
  public var minRTT = Duration.zero
  /// `tcpi_bytes_sent`, retransmitted ones included; `tcpi_bytes_retrans`; `tcpi_bytes_acked`.
  public var bytesSent: UInt64 = 0
  public var bytesRetransmitted: UInt64 = 0
  public var bytesAcknowledged: UInt64 = 0
  /// `tcpi_delivery_rate`, bytes per second: the newest the kernel measured.
  public var deliveryRate: UInt64 = 0
  /// `tcpi_delivery_rate_app_limited`: there was less to send than would have gone.
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
