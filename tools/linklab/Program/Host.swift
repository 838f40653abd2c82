import CLinklab
import Glibc

/// One end of the link: a namespace with its TUN interface, set up for measuring TCP.
struct Host {
  static let interface = "link0"
  /// Packets that wait for the relay; above what a TCP sender with the largest buffers sends at once.
  private static let ring: Int32 = 50_000

  let namespace: NetworkNamespace
  let address: Address
  /// Reads packets that the host sends; what is written, it receives.
  let tun: Int32
  private let interfaces: Int32

  /// Makes it; the process is in its namespace then.
  init(name: String, address: Address, mtu: Int, congestion: String?) throws {
    namespace = try .make(name)
    self.address = address
    guard linklab_up("lo") == 0 else { throw Failure.cannotRunHere("lo in \(name): \(Text.lastError)") }
    // No packets of the kernel's own; refused where there is no IPv6 anyway.
    _ = Kernel.set("ipv6/conf/default/disable_ipv6", "1")
    for (name, value) in [
      // A connection begins as if there had been none before.
      ("ipv4/tcp_no_metrics_save", "1"),
      ("ipv4/tcp_rmem", "4096 131072 67108864"), ("ipv4/tcp_wmem", "4096 65536 67108864"),
    ] where !Kernel.set(name, value) {
      throw Failure.cannotRunHere("\(Kernel.path(name)): \(Text.lastError)")
    }
    if let congestion { try Congestion.use(congestion) }
    tun = linklab_tun(Self.interface)
    guard tun >= 0 else { throw Failure.cannotRunHere("/dev/net/tun: \(Text.lastError)") }
    guard linklab_configure(Self.interface, address.number, Int32(Address.prefix), Int32(mtu), Self.ring) == 0
    else {
      throw Failure.cannotRunHere("\(Self.interface) \(address.text): \(Text.lastError)")
    }
    // Opened here it keeps telling of this namespace.
    interfaces = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC)
    guard interfaces >= 0 else { throw Failure.cannotRunHere("/proc/self/net/dev: \(Text.lastError)") }
  }

  /// Packets that the host sent and the relay never saw, because the ring was full: `drop` under Transmit.
  var ringDrops: UInt64 {
    guard let text = Text.contents(from: interfaces) else { return 0 }
    for line in text.split(separator: "\n") {
      let fields = line.split { $0 == " " || $0 == ":" }
      if fields.first == "link0", fields.count > 12 { return UInt64(fields[12]) ?? 0 }
    }
    return 0
  }
}

/// An IPv4 address of a lab's own network.
struct Address {
  static let prefix = 24
  let number: UInt32

  /// 10.64.0.0 to 10.127.255.0 by process id, so that labs side by side can be told apart; `host` is 1 or 2.
  init(lab pid: pid_t, host: UInt32) {
    number = 10 << 24 | (64 | UInt32(pid) >> 8 & 63) << 16 | (UInt32(pid) & 255) << 8 | host
  }

  var text: String { "\(number >> 24).\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)" }
}
