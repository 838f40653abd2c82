import Glibc

/// Room for packets in equal slots, reserved at once. What was given back last is taken first, so that only as much
/// memory is ever touched as packets were on their way.
struct PacketBuffers: ~Copyable {
  /// 300 ms of full packets at 1 Gbit/s are 25 000, and half as many acknowledgements.
  static let count = 65_536

  let slotSize: Int
  private let memory: UnsafeMutableRawPointer
  private let free: UnsafeMutablePointer<UInt32>
  private var freeCount: Int

  init(mtu: Int) throws {
    slotSize = (mtu + 63) & ~63
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let memory = mmap(nil, slotSize * Self.count, PROT_READ | PROT_WRITE, flags, -1, 0),
      memory != MAP_FAILED
    else { throw Failure.failed("\(slotSize * Self.count) bytes for packets: \(Text.lastError)") }
    self.memory = memory
    free = .allocate(capacity: Self.count)
    for slot in 0..<Self.count { free[slot] = UInt32(Self.count - 1 - slot) }
    freeCount = Self.count
  }

  deinit {
    munmap(memory, slotSize * Self.count)
    free.deallocate()
  }

  /// - Returns: `nil` when all are lent.
  mutating func take() -> UInt32? {
    guard freeCount > 0 else { return nil }
    freeCount &-= 1
    return free[freeCount]
  }

  mutating func giveBack(_ slot: UInt32) {
    precondition(freeCount < Self.count, "a slot was given back twice")
    free[freeCount] = slot
    freeCount &+= 1
  }

  func address(of slot: UInt32) -> UnsafeMutableRawPointer { memory + Int(slot) &* slotSize }
}
