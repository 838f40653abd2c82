/// Numbers of a reason.
enum Text {
  static func milliseconds(_ time: Duration) -> String { "\(tenths(time.seconds * 1000)) ms" }
  static func percent(_ share: Double) -> String { "\(tenths(share * 100)) %" }
  static func rate(_ bytesPerSecond: Double) -> String {
    bytesPerSecond < 1e6 ? "\(tenths(bytesPerSecond / 1e3)) kB/s" : "\(tenths(bytesPerSecond / 1e6)) MB/s"
  }

  /// With one digit behind the point.
  static func tenths(_ number: Double) -> String {
    let scaled = Int(min(1e15, max(0, number * 10)).rounded())
    return "\(scaled / 10).\(scaled % 10)"
  }
}
