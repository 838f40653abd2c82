/// Which of a directory's traces stay: the newest, as many as fit.
///
/// A trace has a bound of its own, so that one long session leaves room for others. To make room those go first that
/// nobody writes any more, the oldest first, and only where there is none the oldest of the others.
public struct TraceShelf: Sendable {
  public struct Limits: Sendable {
    /// Of all traces together.
    public var bytes: Int
    /// Of one.
    public var traceBytes: Int
    /// What one counts at least: it bounds how many there are, however small.
    public var leastBytes: Int

    public init(bytes: Int, traceBytes: Int, leastBytes: Int) {
      (self.bytes, self.traceBytes, self.leastBytes) = (bytes, traceBytes, leastBytes)
    }
  }

  public enum Answer: Hashable, Sendable {
    /// There is room once these traces are removed.
    case granted(removing: [String])
    case full
    /// It had to make room for others.
    case removed
  }

  private struct Trace {
    var name: String
    var bytes: Int
    var isWritten: Bool
  }

  private let limits: Limits
  /// The oldest first.
  private var traces: [Trace] = []
  private var total = 0

  public init(_ limits: Limits) { self.limits = limits }

  /// One of an earlier time, newer than all so far.
  public mutating func adopt(_ name: String, bytes: Int) {
    traces.append(Trace(name: name, bytes: bytes, isWritten: false))
    total += cost(bytes)
  }

  /// - Returns: which traces to remove before.
  public mutating func begin(_ name: String) -> [String] {
    traces.append(Trace(name: name, bytes: 0, isWritten: true))
    total += cost(0)
    return makeRoom()
  }

  public mutating func write(_ bytes: Int, to name: String) -> Answer {
    // Those that are written are among the last.
    guard let place = traces.lastIndex(where: { $0.name == name }) else { return .removed }
    let before = traces[place].bytes
    guard bytes <= limits.traceBytes - before else { return .full }
    traces[place].bytes += bytes
    total += cost(before + bytes) - cost(before)
    return .granted(removing: makeRoom())
  }

  /// Nothing more will be written to it.
  public mutating func end(_ name: String) {
    guard let place = traces.lastIndex(where: { $0.name == name }) else { return }
    traces[place].isWritten = false
  }

  private func cost(_ bytes: Int) -> Int { max(bytes, limits.leastBytes) }

  private mutating func makeRoom() -> [String] {
    var removed: [String] = []
    while total > limits.bytes, !traces.isEmpty {
      let trace = traces.remove(at: traces.firstIndex { !$0.isWritten } ?? 0)
      total -= cost(trace.bytes)
      removed.append(trace.name)
    }
    return removed
  }
}
