/// Bounds of a session's edges, each with its unit and reason. (What the machines bound stands in `SyncLimits`.)
/// A stream that nobody reads costs its sender at most 4 MiB up to level 12, where the codec takes three of them; two
/// less at level 1.
public enum SessionLimits {
  /// Keys and values of a batch, in bytes before the operation that exceeds it: two chunks. Three are in memory
  /// while nobody reads: one cut into chunks, one that waits, one whose values are being read.
  public static let batchBytes = 128 << 10
  /// Operations of a batch: small ones cost more than their bytes.
  public static let batchOperations = 1024
  /// Batches that wait for whoever sends them: reading, compressing and sending overlap with one.
  public static let waitingBatches = 1
  /// Messages of a receiver that wait to be sent; of acknowledgements only the newest waits.
  public static let receiverMessages = 4
  /// What travels around a chunk's payload, in bytes, for who counts what is sent: header, message prefix and frame.
  public static let chunkEnvelope = 64
  /// Sessions of a server: each holds its buffers and a view of the state.
  public static let sessions = 64
  /// Of these on one connection: no client takes them all.
  public static let sessionsOfPeer = 16
  /// Without a message for so long, a session may have to give way to a new one: sooner than who waits for its
  /// place gives up. Its client begins again where it was.
  public static let idleGrace = Duration.seconds(5)
  /// Ends a session in which no message went either way for so long; a peer may have to look through a slow disk.
  public static let idle = Duration.seconds(300)
  /// For one page of a scan to leave: a scan holds a view, and with it all that has been overwritten since.
  public static let scanPage = Duration.seconds(60)
}
