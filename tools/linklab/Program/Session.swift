import CLinklab
import Glibc
import LinkModel

/// One lab from its making to its end: one thread that waits for packets, time, signals and requests.
final class Session {
  /// How long COMMAND may take to end when it is asked to.
  private static let grace = Interval.milliseconds(5000)
  private static let priority: Int32 = 50

  let lab: Lab
  let relay: Relay
  let mtu: Int
  let isRealtime: Bool
  private let poll: Int32
  private let timer: Int32
  private let graceTimer: Int32
  private let signals: Int32
  /// The process that started this one; -1 where it cannot be watched.
  private var parent: Int32
  private var control: ControlServer
  private var child: pid_t = 0
  private var isEnding = false

  init(_ options: LabOptions) throws {
    // First of all: from here on nothing ends the process before the lab is taken away.
    signals = linklab_signals()
    let parentID = getppid()
    parent = linklab_process(parentID)
    poll = linklab_poll()
    timer = linklab_timer()
    graceTimer = linklab_timer()
    guard min(signals, poll, timer, graceTimer) >= 0 else { throw Failure.failed("epoll: \(Text.lastError)") }
    lab = try Lab(mtu: options.mtu, congestion: options.congestion)
    do {
      mtu = options.mtu
      let settings = options.settings
      relay = try Relay(
        lab, up: settings.up, down: settings.down, mtu: options.mtu, seed: options.seed, timer: timer)
      control = ControlServer(listener: lab.listener)
      for descriptor in [lab.left.tun, lab.right.tun, timer, graceTimer, signals, lab.listener, parent]
      where descriptor >= 0 {
        guard linklab_watch(poll, descriptor) == 0 else {
          throw Failure.failed("epoll_ctl: \(Text.lastError)")
        }
      }
      isRealtime = linklab_realtime(Self.priority) == 0
      if !isRealtime {
        Text.complain("SCHED_FIFO: \(Text.lastError); when processors are busy, packets will be late")
      }
      guard getppid() == parentID else { throw Failure.failed("the process that started it is gone") }
    } catch {
      lab.remove()
      throw error
    }
  }

  /// Relays until a signal comes or the parent is gone, then takes the lab away.
  func keep(beforeEnd: () -> Void) {
    defer { lab.remove() }
    while !isEnding { _ = wait() }
    beforeEnd()
  }

  /// Starts a command in `left` and relays until it has ended, then takes the lab away.
  /// - Returns: its exit code, or 128 + the signal that ended it.
  func run(_ command: [String], beforeEnd: () -> Void) throws -> Int32 {
    defer { lab.remove() }
    child = try start(command)
    var status: Int32?
    while status == nil { status = wait() }
    beforeEnd()
    let ended = status! & 0x7f  // as WIFEXITED and its kin, which are macros
    return ended == 0 ? status! >> 8 & 0xff : 128 + ended
  }

  private func start(_ command: [String]) throws -> pid_t {
    let home = try NetworkNamespace.current()
    defer { close(home.descriptor) }
    setenv("LINKLAB_CONTROL", lab.controlPath, 1)
    for (name, host) in [("LINKLAB_LEFT", lab.left), ("LINKLAB_RIGHT", lab.right)] {
      setenv(name, host.namespace.name, 1)
      setenv(name + "_ADDRESS", host.address.text, 1)
    }
    var arguments = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    try lab.left.namespace.enter()
    let pid = linklab_start(&arguments, environ)
    let reason = Text.lastError
    try home.enter()
    guard pid > 0 else { throw Failure.failed("\(command[0]): \(reason)") }
    return pid
  }

  /// Handles what there is. - Returns: the status of the command, once it has ended.
  private func wait() -> Int32? {
    var ended: Int32?
    var hasSent = (up: false, down: false)
    let count = withUnsafeTemporaryAllocation(of: Int32.self, capacity: 16) { ready in
      let count = Int(linklab_wait(poll, ready.baseAddress, 16))
      for place in 0..<max(0, count) {
        let descriptor = ready[place]
        switch descriptor {
        case lab.left.tun: hasSent.up = true
        case lab.right.tun: hasSent.down = true
        case timer: break
        default: ended = handle(descriptor) ?? ended
        }
      }
      return count
    }
    guard count >= 0 || errno == EINTR else { fatalError("epoll_wait: \(Text.lastError)") }
    relay.turn(hasSent)
    return ended
  }

  private func handle(_ descriptor: Int32) -> Int32? {
    switch descriptor {
    case signals:
      var isTyped: Int32 = 0
      var ended: Int32?
      while case let signal = linklab_next_signal(signals, &isTyped), signal != 0 {
        if signal == SIGCHLD { ended = reap() ?? ended } else { end(signal, isTyped: isTyped != 0) }
      }
      return ended
    case graceTimer:
      linklab_ring(graceTimer, 0)
      if child > 0 { kill(child, SIGKILL) }
    case parent:
      close(parent)
      parent = -1  // the number may come again, as a peer's
      end(SIGTERM, isTyped: false)
    case lab.listener:
      if let peer = control.accept() { _ = linklab_watch(poll, peer) }
    default:
      control.serve(descriptor) { Requests(session: self).answer($0) }
    }
    return nil
  }

  private func reap() -> Int32? {
    var status: Int32 = 0
    while case let pid = waitpid(-1, &status, WNOHANG), pid > 0 {
      if pid == child { return status }
    }
    return nil
  }

  /// Without a command that is the end. A command is asked to end, and killed when it is asked twice or takes too
  /// long; what somebody types at a terminal reaches it anyway, and it decides.
  private func end(_ signal: Int32, isTyped: Bool) {
    if child > 0, isTyped, signal == SIGINT { return }
    if child > 0 { kill(child, isEnding ? SIGKILL : signal) }
    if child > 0, !isEnding { linklab_ring(graceTimer, (Relay.now + Self.grace).nanoseconds) }
    isEnding = true
  }
}
