import CLinklab
import Glibc

/// Settings of the kernel's network, most of them for the namespace that the process is in.
enum Kernel {
  static func path(_ name: String) -> String { "/proc/sys/net/\(name)" }

  static func value(_ name: String) -> String? {
    Text.contents(of: path(name)).map { String($0.prefix { !$0.isNewline }) }
  }

  /// - Returns: whether it was taken; `errno` says why not.
  static func set(_ name: String, _ value: String) -> Bool { Text.replace(path(name), with: value) }
}

/// TCP's congestion control.
enum Congestion {
  private static let name = "ipv4/tcp_congestion_control"
  private static let allowed = "ipv4/tcp_allowed_congestion_control"

  /// Of the namespace that the process is in.
  static var current: String { Kernel.value(name) ?? "unknown" }

  static func use(_ congestion: String) throws {
    guard !Kernel.set(name, congestion) else { return }
    guard errno != EPERM else {
      throw Failure.cannotRunHere(
        "--congestion \(congestion): the kernel does not let a namespace of its own use it")
    }
    let offered = Kernel.value("ipv4/tcp_available_congestion_control") ?? "nothing that it tells of"
    throw Failure.cannotRunHere("--congestion \(congestion): the kernel offers \(offered)")
  }

  /// Runs `body`, in which new namespaces may use `congestion`, and which leaves the process where it was. Only what
  /// is on the machine's list of what anybody may use can be a new namespace's default; what is not is put there
  /// until `body` has ended. One lab at a time, so that none takes away what another has put there.
  static func allowing<Value>(_ congestion: String?, during body: () throws -> Value) throws -> Value {
    guard let congestion else { return try body() }
    let lock = open("\(Lab.directory)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    defer { close(lock) }
    guard lock >= 0, flock(lock, LOCK_EX) == 0 else {
      throw Failure.cannotRunHere("\(Lab.directory)/lock: \(Text.lastError)")
    }
    guard let before = Kernel.value(allowed), !before.split(separator: " ").contains(congestion[...]) else {
      return try body()
    }
    _ = Kernel.set(allowed, "\(before) \(congestion)")  // where it is unknown or refused, `use` says so
    defer { _ = Kernel.set(allowed, before) }
    return try body()
  }
}
