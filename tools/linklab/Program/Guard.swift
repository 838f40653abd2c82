import ArgumentParser
import CLinklab
import Glibc

/// What takes a lab away that could not do it itself, because it was killed: started beside each lab, in a session of
/// its own so that what ends a group of processes does not end it.
struct Guard: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Wait for the end of a lab's process and take away what it left.", shouldDisplay: false)

  @Argument var pid: Int32

  /// Starts the guard of this process. Where that fails, it is told: the next lab takes away what this one leaves.
  static func start() {
    let command: [String] = ["/proc/self/exe", "guard", "\(getpid())"]
    var arguments = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    guard linklab_start_apart(&arguments, environ) > 0 else {
      return Text.complain(
        "the guard: \(Text.lastError); after kill -9 the next linklab takes away what stays")
    }
  }

  func run() throws {
    let lab = linklab_process(pid)
    // Only a child's parent can be waited for: with another one it is gone already.
    if lab >= 0, getppid() == pid {
      var watched = pollfd(fd: lab, events: Int16(POLLIN), revents: 0)
      while poll(&watched, 1, -1) < 0 && errno == EINTR {}
    }
    Lab.sweep()
  }
}
