import CLinklab
import Glibc

/// A network namespace with a name under /run/netns, where `ip netns exec` finds it.
struct NetworkNamespace {
  static let directory = "/run/netns"
  let name: String
  let descriptor: Int32

  private static func path(_ name: String) -> String { "\(directory)/\(name)" }

  /// The namespace that the process is in.
  static func current() throws -> NetworkNamespace {
    let descriptor = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Failure.cannotRunHere("/proc/self/ns/net: \(Text.lastError)") }
    return NetworkNamespace(name: "", descriptor: descriptor)
  }

  /// Makes one. The process is in it then, until it enters another.
  static func make(_ name: String) throws -> NetworkNamespace {
    mkdir(directory, 0o755)
    guard linklab_share(directory) == 0 else { throw failure("mounts under \(directory)") }
    let file = open(path(name), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0)
    guard file >= 0 else { throw failure(path(name)) }
    close(file)
    guard linklab_new_namespace() == 0 else {
      let failure = failure("a network namespace")
      unlink(path(name))
      throw failure
    }
    guard linklab_bind("/proc/self/ns/net", path(name)) == 0 else {
      let failure = failure("a mount on \(path(name))")
      unlink(path(name))
      throw failure
    }
    return NetworkNamespace(name: name, descriptor: try current().descriptor)
  }

  func enter() throws {
    guard linklab_enter(descriptor) == 0 else { throw Self.failure("the namespace \(name)") }
  }

  /// Ends what still runs in the namespaces of these names, in all at once, and takes the names away. A namespace goes
  /// when nothing is in it.
  static func remove(_ names: [String]) {
    let own = identity("/proc/self/ns/net")
    endProcesses(in: names.compactMap { identity(path($0)) }.filter { $0 != own })
    for name in names {
      _ = linklab_unbind(path(name))  // refused where it is no mount, as in another mount namespace
      unlink(path(name))
    }
  }

  private struct Identity: Equatable {
    let device: dev_t
    let inode: ino_t
  }

  /// - Returns: `nil` for what is no namespace: a bare file, once the mount namespace that had it mounted is gone.
  private static func identity(_ path: String) -> Identity? {
    var (file, own) = (stat(), stat())
    guard stat(path, &file) == 0, stat("/proc/self/ns/net", &own) == 0, file.st_dev == own.st_dev else {
      return nil
    }
    return Identity(device: file.st_dev, inode: file.st_ino)
  }

  /// Asks all of them first; kills after a second.
  private static func endProcesses(in identities: [Identity]) {
    for (signal, patience) in [(SIGTERM, 100), (SIGKILL, 100)] {
      for attempt in 0...patience {
        let processes = processes(in: identities)
        if processes.isEmpty { return }
        if attempt == 0 { for pid in processes { kill(pid, signal) } }
        while waitpid(-1, nil, WNOHANG) > 0 {}
        usleep(10_000)
      }
    }
  }

  private static func processes(in identities: [Identity]) -> [pid_t] {
    guard !identities.isEmpty else { return [] }
    return names(in: "/proc").compactMap { pid_t($0) }.filter { pid in
      pid != getpid() && identity("/proc/\(pid)/ns/net").map(identities.contains) == true
    }
  }

  private static func failure(_ what: String) -> Failure {
    let hint = errno == EPERM ? "; linklab needs the rights of root" : ""
    return .cannotRunHere("\(what): \(Text.lastError)\(hint)")
  }
}
