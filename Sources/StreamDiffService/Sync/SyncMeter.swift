public import StreamDiffCore
import Synchronization

/// What a session has done so far, counted where it happens and read from anywhere.
public final class SyncMeter: Sendable {
  public let plannedOperations = Count()
  /// Bytes of keys and values.
  public let plannedBytes = Count()
  /// Operations and plain bytes that left, or came.
  public let operations = Count()
  public let plainBytes = Count()
  /// The same bytes as they travelled.
  public let payloadBytes = Count()
  public let appliedOperations = Count()
  public let conflicts = Count()
  /// Messages that came.
  let messages = Count()
  private let currentRound = Atomic<Int>(1)
  private let flight = Atomic<Int>(0)

  public init() {}

  /// Changes while a session gets on.
  var activity: UInt64 {
    [plannedOperations, operations, payloadBytes, appliedOperations, messages].reduce(0) { $0 &+ $1.value }
  }

  public var round: Int { currentRound.load(ordering: .relaxed) }
  func begin(round: Int) { currentRound.store(round, ordering: .relaxed) }

  /// Plain bytes sent and not acknowledged.
  public var bytesInFlight: Int { flight.load(ordering: .relaxed) }
  private let current = Mutex<AdaptationReport?>(nil)

  /// How the sender sends; `nil` before it says so.
  public var report: AdaptationReport? { current.withLock { $0 } }
  func update(report: AdaptationReport) { current.withLock { $0 = report } }

  func update(bytesInFlight: Int) { flight.store(bytesInFlight, ordering: .relaxed) }
}
