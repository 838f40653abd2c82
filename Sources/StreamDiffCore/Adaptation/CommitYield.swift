/// Whether transfers get in the way of commits: the latency of others' writes, held against its own least of late.
struct CommitYield: Sendable {
  /// How far back the least counts. What stays high for so long, however little is sent, has other reasons.
  static let baselineWindow = Duration.seconds(30)
  /// Less than this above the least is nobody's fault: a disk's sync varies as much.
  static let leastRise = Duration.milliseconds(5)
  /// How long a latency is true of a time in which nothing was written since.
  static let memory = Duration.seconds(2)
  /// Of one period: a median of the newest so many is as good as one of all.
  static let samples = 31

  enum Verdict {
    /// Nobody waits for a commit, or not for long.
    case free
    /// Too long, as the last period has it.
    case late
    /// Too long when something was last written, which was not in this period.
    case unknown
  }

  private var period: [Duration] = []
  private var next = 0
  private var baseline = WindowedExtremum<Duration>.minimum(over: Self.baselineWindow)
  private var latest: (latency: Duration, time: Duration)?

  mutating func committed(in latency: Duration) {
    if period.count < Self.samples { period.append(latency) } else { period[next] = latency }
    next = (next + 1) % Self.samples
  }

  /// Ends a period.
  mutating func verdict(now: Duration) -> Verdict {
    let isNew = !period.isEmpty
    if isNew {
      let median = period.sorted()[period.count / 2]
      baseline.add(median, now: now)
      latest = (median, now)
      period.removeAll(keepingCapacity: true)
      next = 0
    }
    guard let latest, let least = baseline.value, now - latest.time <= Self.memory else { return .free }
    guard latest.latency > least + max(Self.leastRise, least) else { return .free }
    return isNew ? .late : .unknown
  }
}
