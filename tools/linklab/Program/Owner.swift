import Glibc

/// The process that a lab belongs to: its id, and when it started, so that another one that gets the same id later
/// is not taken for it. Everything of the lab has a name that begins with `prefix`.
struct Owner: Equatable {
  let pid: pid_t
  /// In clock ticks since the machine started: field 22 of proc(5) stat.
  let started: UInt64

  static var current: Owner? { Owner(pid: getpid()) }

  /// - Returns: `nil` when no such process lives; one that is dead and not yet waited for does not.
  private init?(pid: pid_t) {
    // The second field, the name, stands in parentheses and may hold any bytes.
    guard let text = Text.contents(of: "/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else {
      return nil
    }
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X", let started = UInt64(fields[19]) else {
      return nil
    }
    (self.pid, self.started) = (pid, started)
  }

  var isAlive: Bool { Owner(pid: pid) == self }

  var prefix: String { "linklab-\(pid)-\(started)" }

  /// - Parameter name: of something that belongs to a lab.
  /// - Returns: `nil` for what is none of ours.
  init?(ofName name: String) {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 3, parts[0] == "linklab", let pid = pid_t(parts[1]), pid > 0,
      let started = UInt64(parts[2].prefix { $0 != "." }), parts[1] == "\(pid)"
    else { return nil }
    (self.pid, self.started) = (pid, started)
  }
}
