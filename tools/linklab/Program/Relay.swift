import CLinklab
import Glibc
import LinkModel

/// Carries packets from each host to the other, as two `Link`s say. Allocates nothing for a packet.
final class Relay {
  enum Side: Int, CaseIterable {
    case up, down
    var name: String { self == .up ? "up" : "down" }
  }

  struct Direction {
    var link: Link
    let from: Host
    let to: Host
    /// Packets for which there was no slot, and those that the receiving host did not take. Never, in a sound lab.
    var overflows: UInt64 = 0
    var refused: UInt64 = 0
    var ringDropsBefore: UInt64 = 0

    var ringDrops: UInt64 { from.ringDrops - ringDropsBefore }
  }

  /// Packets between two looks at everything else.
  private static let batch = 64
  /// Two rings of the timer are at least so far apart: at 1 Gbit/s a packet is due every 12 µs, and waking for
  /// each takes most of a processor.
  private static let timerGap = Interval.microseconds(50)

  private(set) var directions: [Direction]
  private var buffers: PacketBuffers
  private let timer: Int32
  private var ringsAt: Moment?
  private var rangAt = Moment(0)
  private(set) var countsSince: Moment

  static var now: Moment {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Moment(Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
  }

  /// - Parameter timer: readable when `turn` has to be called, beside whenever a host has sent something.
  init(_ lab: Lab, up: LinkSettings, down: LinkSettings, mtu: Int, seed: UInt64, timer: Int32) throws {
    buffers = try PacketBuffers(mtu: mtu)
    func link(_ settings: LinkSettings, _ seed: UInt64) -> Link {
      Link(settings, mtu: mtu, capacity: PacketBuffers.count, seed: seed)
    }
    directions = [
      Direction(link: link(up, seed &* 2), from: lab.left, to: lab.right),
      Direction(link: link(down, seed &* 2 &+ 1), from: lab.right, to: lab.left),
    ]
    self.timer = timer
    countsSince = Self.now
  }

  /// Takes what the hosts behind `ready` have sent, delivers what is due, and sets the timer for what is next.
  func turn(_ ready: (up: Bool, down: Bool)) {
    if ready.up { receive(0) }
    if ready.down { receive(1) }
    deliver(0)
    deliver(1)
    setTimer()
  }

  func change(_ side: Side, to settings: LinkSettings) {
    directions[side.rawValue].link.change(to: settings, now: Self.now)
  }

  func cut(_ side: Side, for length: Interval) {
    directions[side.rawValue].link.cut(for: length, now: Self.now)
  }

  func counters(_ side: Side) -> LinkCounters { directions[side.rawValue].link.counters(now: Self.now) }

  func resetCounters() {
    countsSince = Self.now
    for side in 0..<2 {
      directions[side].link.resetCounters(now: countsSince)
      directions[side].ringDropsBefore = directions[side].from.ringDrops
      (directions[side].overflows, directions[side].refused) = (0, 0)
    }
  }

  private func receive(_ side: Int) {
    let tun = directions[side].from.tun
    for _ in 0..<Self.batch {
      guard let slot = buffers.take() else { return discard(side) }
      let length = read(tun, buffers.address(of: slot), buffers.slotSize)
      guard length > 0 else { return buffers.giveBack(slot) }
      switch directions[side].link.arrive(slot: slot, length: length, now: Self.now) {
      case .carried: break
      case .lost, .dropped, .cut: buffers.giveBack(slot)
      }
    }
  }

  /// All slots are lent: what comes is read and counted.
  private func discard(_ side: Int) {
    var nothing: UInt64 = 0
    if read(directions[side].from.tun, &nothing, 8) > 0 { directions[side].overflows &+= 1 }
  }

  private func deliver(_ side: Int) {
    let tun = directions[side].to.tun
    for _ in 0..<Self.batch {
      guard let packet = directions[side].link.next(now: Self.now) else { return }
      if !packet.isCut, write(tun, buffers.address(of: packet.slot), packet.length) != packet.length {
        directions[side].refused &+= 1
      }
      buffers.giveBack(packet.slot)
    }
  }

  /// Setting it also clears that it has rung.
  private func setTimer() {
    let now = Self.now
    if let ringsAt, ringsAt <= now { rangAt = now }
    var next: Moment?
    for side in 0..<2 {
      guard let wake = directions[side].link.wakeTime else { continue }
      next = next.map { min($0, wake) } ?? wake
    }
    next = next.map { max($0, rangAt + Self.timerGap) }
    guard next != ringsAt else { return }
    ringsAt = next
    guard linklab_ring(timer, next?.nanoseconds ?? 0) == 0 else {
      fatalError("timerfd_settime: \(Text.lastError)")
    }
  }
}
