import Glibc
import StreamDiffCore
import StreamDiffService

/// A line on the terminal that shows how far a piece of work is, its rate and the time left.
enum ProgressBar {
  struct Reading {
    /// Bytes.
    var done: UInt64
    /// Bytes; 0: unknown.
    var total: UInt64
  }

  /// What is being watched.
  enum Work: Sendable {
    case scan(ScanMeter)
    /// The total is known when all there is will be sent; what differs shows only as it is found.
    case sending(SyncMeter, of: UInt64, PlanLog)
    case receiving(SyncMeter)
    case checking(DirectoryCheck.Meter)

    var reading: Reading {
      switch self {
      case .scan(let meter): Reading(done: meter.bytes.done, total: meter.bytes.total)
      case .sending(let meter, let all, let log):
        // Operations are somewhat more than their keys and values.
        log.isFull
          ? Reading(done: min(meter.plainBytes.value, all), total: all)
          : Reading(done: meter.plainBytes.value, total: 0)
      case .receiving(let meter): Reading(done: meter.plainBytes.value, total: 0)
      case .checking(let meter): Reading(done: meter.done, total: meter.total)
      }
    }

    var label: String {
      switch self {
      case .scan: "reading"
      case .sending: "sending"
      case .receiving: "receiving"
      case .checking: "checking"
      }
    }
  }

  /// Runs `body`; meanwhile, on a terminal, shows ten times a second how far it is. The line goes when it
  /// ends.
  static func show<Value>(
    _ work: Work, isOn: Bool, during body: () async throws -> Value
  ) async rethrows -> Value {
    guard isOn, Output.isTerminal else { return try await body() }
    let painter = Task {
      let clock = ContinuousClock()
      let start = clock.now
      while !Task.isCancelled {
        paint(work.label, work.reading, after: start.duration(to: clock.now).seconds)
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
    defer {
      painter.cancel()
      Output.note("\r\u{1b}[K")
    }
    return try await body()
  }

  private static func paint(_ label: String, _ reading: Reading, after seconds: Double) {
    guard !Task.isCancelled else { return }
    Output.note("\r\u{1b}[K\(String(line(label, reading, after: seconds).prefix(columns() - 1)))")
  }

  static func line(_ label: String, _ reading: Reading, after seconds: Double) -> String {
    let rate = seconds > 0 ? Double(reading.done) / seconds : 0
    let speed = "\(readable(bytes: UInt64(rate)))/s"
    guard reading.total > 0 else { return "\(label)  \(readable(bytes: reading.done))  \(speed)" }
    let done = min(1, Double(reading.done) / Double(reading.total))
    let filled = Int(done * 24)
    let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 24 - filled)
    let left = rate > 0 ? Double(reading.total - min(reading.done, reading.total)) / rate : 0
    return "\(label) [\(bar)] \(Int(done * 100)) %  \(readable(bytes: reading.done)) of "
      + "\(readable(bytes: reading.total))  \(speed)  \(clock(left)) left"
  }

  private static func clock(_ seconds: Double) -> String {
    let whole = Int(min(seconds.rounded(.up), 359_999))
    let (minutes, rest) = (whole / 60, whole % 60)
    return "\(minutes):\(rest < 10 ? "0" : "")\(rest)"
  }

  private static func columns() -> Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 10 else { return 80 }
    return Int(size.ws_col)
  }
}
