/// When something that broke off is tried again: almost at once, then ever slower, and not for ever.
/// Progress counts as a new beginning, so that a long transfer may be cut any number of times.
public struct RetryPolicy: Sendable {
  /// Together about eight seconds without progress: time for a server to start again.
  public static let waits: [Duration] = [20, 100, 250, 500, 1000, 2000, 4000].map { .milliseconds($0) }

  private var failures = 0
  private var progress: UInt64

  /// - Parameter progress: any number that rises with what is done.
  public init(progress: UInt64 = 0) { self.progress = progress }

  /// An attempt failed.
  /// - Returns: how long to wait before the next; `nil`: give up.
  public mutating func failed(progress now: UInt64) -> Duration? {
    if now > progress { (failures, progress) = (0, now) }
    guard failures < Self.waits.count else { return nil }
    defer { failures += 1 }
    return Self.waits[failures]
  }
}
