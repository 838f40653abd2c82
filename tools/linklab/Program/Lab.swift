import CLinklab
import Glibc

/// Two hosts and the control socket, and what it takes that nothing of them stays.
final class Lab {
  static let directory = "/run/linklab"

  let left: Host
  let right: Host
  let controlPath: String
  let listener: Int32
  let congestion: String
  let isCongestionInherited: Bool
  private let owner: Owner

  init(mtu: Int, congestion: String?) throws {
    guard geteuid() == 0 else {
      throw Failure.cannotRunHere("needs root, for network namespaces and /dev/net/tun")
    }
    guard let owner = Owner.current else {
      throw Failure.cannotRunHere("/proc/self/stat does not tell who this is")
    }
    Self.sweep()
    Guard.start()
    self.owner = owner
    do {
      let home = try NetworkNamespace.current()
      defer { close(home.descriptor) }
      func host(_ side: String, _ number: UInt32) throws -> Host {
        try Host(
          name: "\(owner.prefix)-\(side)", address: Address(lab: owner.pid, host: number), mtu: mtu,
          congestion: congestion)
      }
      mkdir(Self.directory, 0o755)
      (left, right, self.congestion) = try Congestion.allowing(congestion) {
        defer { _ = linklab_enter(home.descriptor) }
        return (try host("left", 1), try host("right", 2), Congestion.current)
      }
      isCongestionInherited = congestion == nil
      controlPath = "\(Self.directory)/\(owner.prefix).sock"
      listener = linklab_listen(controlPath)
      guard listener >= 0 else { throw Failure.cannotRunHere("\(controlPath): \(Text.lastError)") }
    } catch {
      Self.remove(owner)
      throw error
    }
  }

  /// Ends what still runs in the hosts and takes every trace of the lab away.
  func remove() { Self.remove(owner) }

  /// Removes labs whose owner is gone and left them, and whose guard is gone too. Nothing else is touched.
  static func sweep() {
    let owners = (names(in: NetworkNamespace.directory) + names(in: directory)).compactMap {
      Owner(ofName: $0)
    }
    for owner in owners where !owner.isAlive { remove(owner) }
  }

  private static func remove(_ owner: Owner) {
    NetworkNamespace.remove(names(in: NetworkNamespace.directory).filter { Owner(ofName: $0) == owner })
    for name in names(in: directory) where Owner(ofName: name) == owner { unlink("\(directory)/\(name)") }
  }
}
