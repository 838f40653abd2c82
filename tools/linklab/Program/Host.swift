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
    try Self.set("ipv6/conf/default/disable_ipv6", "1", isNeeded: false)  // no packets of the kernel's own
    try Self.set("ipv4/tcp_no_metrics_save", "1")  // a connection begins as if there had been none before
    try Self.set("ipv4/tcp_rmem", "4096 131072 67108864")
    try Self.set("ipv4/tcp_wmem", "4096 65536 67108864")
    if let congestion, !Text.replace(Self.path("ipv4/tcp_congestion_control"), with: congestion) {
      let offered = Self.value("ipv4/tcp_available_congestion_control") ?? "nothing"
      throw Failure.cannotRunHere("--congestion \(congestion): the kernel offers \(offered)")
    }
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

  /// What the process's own namespace uses.
  static var congestion: String { value("ipv4/tcp_congestion_control") ?? "unknown" }

  private static func path(_ name: String) -> String { "/proc/sys/net/\(name)" }

  private static func value(_ name: String) -> String? {
    Text.contents(of: path(name)).map { String($0.prefix { !$0.isNewline }) }
  }

  private static func set(_ name: String, _ value: String, isNeeded: Bool = true) throws {
    guard !Text.replace(path(name), with: value), isNeeded else { return }
    throw Failure.cannotRunHere("\(path(name)): \(Text.lastError)")
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
