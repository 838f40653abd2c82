import Glibc

/// What changes while it is read is read again a few times: whoever writes it is mostly done soon.
enum Rereading {
  /// Before the second attempt, the third and the last.
  static let pauses: [Duration] = [.milliseconds(20), .milliseconds(100), .milliseconds(400)]

  /// Blocks during the pauses.
  ///
  /// - Throws: what `read` throws; `.changed` when nothing was read while it held still.
  static func run<Value>(_ read: () throws(AdapterError) -> Value) throws(AdapterError) -> Value {
    for pause in pauses {
      do throws(AdapterError) {
        return try read()
      } catch  where error.code == .changed {
        usleep(useconds_t(pause / .microseconds(1)))
      }
    }
    return try read()
  }
}
