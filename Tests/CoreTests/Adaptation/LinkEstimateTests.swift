import StreamDiffCore
import Synchronization
import Testing

@Suite("what is known of a link") struct LinkEstimateTests {
  /// A sender at full speed: every 50 ms a look, every second a PING that comes back, beside which the kernel's round
  /// trip may be a `busyKernel`'s.
  private struct Sender {
    var controller = TransferController()
    var time = Duration.zero
    var acknowledged: UInt64 = 0
    /// Bytes per second.
    let rate: UInt64

    mutating func run(
      _ length: Duration, kernel: Duration?, busyKernel: Duration? = nil,
      ping: (_ place: Int) -> (time: Duration, queue: Int)?
    ) {
      let end = time + length
      var place = 0
      while time < end {
        time += .milliseconds(50)
        acknowledged += rate / 20
        var observation = Observation()
        observation.time = time
        (observation.chunks, observation.plainBytes) = (4, Int(rate / 20))
        (observation.payloadBytes, observation.acknowledgedBytes) = (Int(rate / 20), Int(rate / 20))
        observation.acknowledgementDelay = .milliseconds(700)
        if let kernel {
          var link = LinkSample()
          (link.rtt, link.bytesSent, link.bytesAcknowledged) = (kernel, acknowledged, acknowledged)
          link.bytesNotSent = 100_000
          observation.link = link
        }
        if place % 20 == 0, let (time, queue) = ping(place / 20) {
          (observation.pingRTT, observation.pingQueue) = (time, queue)
          if let busyKernel { observation.link?.rtt = busyKernel }
        }
        place += 1
        _ = controller.receive(observation)
      }
    }
  }

  @Test("where PINGs take longer than the kernel's round trip the way is longer: through a proxy")
  func proxy() {
    var sender = Sender(rate: 10_000_000)
    // Its queue is full now and then.
    sender.run(.seconds(5), kernel: .milliseconds(1)) {
      (.milliseconds($0 % 3 == 0 ? 201 : 900), 0)
    }
    #expect(sender.controller.link.rtt == .milliseconds(201))
    #expect(sender.controller.link.minRTT == .milliseconds(201))
    #expect(sender.controller.link.queueing == .zero)
    // A way that became shorter is found within the window.
    sender.run(.seconds(12), kernel: .milliseconds(1)) { _ in (.milliseconds(51), 0) }
    #expect(sender.controller.link.minRTT == .milliseconds(51))
  }

  @Test("behind a proxy no way is shorter than the least PING, however long the kernel's part was beside it")
  func busy() {
    var sender = Sender(rate: 10_000_000)
    sender.run(.seconds(5), kernel: .milliseconds(1), busyKernel: .milliseconds(12)) {
      (.milliseconds(201 + $0), 0)
    }
    #expect(sender.controller.link.minRTT == .milliseconds(201))
    #expect(sender.controller.link.rtt == .milliseconds(201))
  }

  @Test("what stands before a PING on this side is no distance, nor is what the kernel sees itself")
  func queues() {
    var sender = Sender(rate: 625_000)
    // Half a second of bytes: at 5 Mbit/s that is what the kernel and the channel hold.
    sender.run(.seconds(30), kernel: .milliseconds(150)) { place in
      (.milliseconds(650 + (place % 4) * 20), 312_500)
    }
    let (rtt, least) = (sender.controller.link.rtt, sender.controller.link.minRTT)
    #expect(rtt == .milliseconds(150) && least == .milliseconds(150))
  }

  @Test("where the kernel tells nothing PINGs do, and acknowledgements before the first")
  func withoutKernel() {
    var sender = Sender(rate: 1_000_000)
    sender.run(.seconds(1), kernel: nil) { _ in nil }
    #expect(sender.controller.link.minRTT == .milliseconds(700))
    sender.run(.seconds(12), kernel: nil) { _ in (.milliseconds(80), 0) }
    #expect(sender.controller.link.rtt == .milliseconds(80))
    #expect(sender.controller.link.minRTT == .milliseconds(80))
  }

  @Test("a PING that came back an hour late makes no distance of an hour")
  func lie() {
    var sender = Sender(rate: 1_000_000)
    sender.run(.seconds(3), kernel: .milliseconds(10)) { _ in (.seconds(3600), 0) }
    #expect(sender.controller.link.minRTT ?? .zero <= .seconds(3))
  }

  @Test("behind a proxy, and beside PINGs that lie, transfers get as far as without", arguments: 0..<40)
  func transfers(seed: Int) {
    var random = SplitMix(seed: seed)
    let now = SweepTests.conditions(&random)
    let settling = max(4, 10 * now.rtt)
    var transfer = VirtualTransfer(seed: seed)
    let places = Counter()
    transfer.lie = { observation in
      observation.link?.rtt = .milliseconds(1)
      observation.link?.minRTT = .milliseconds(1)
      if places.next() % 20 == 0 { observation.pingRTT = .nanoseconds(Int64(now.rtt * 1e9)) }
    }
    let ratio = transfer.run(now, seconds: settling + 20, settle: settling)
    #expect(ratio >= 0.8, "\(now) \(transfer.controller.decision.reason)")
    let distance = transfer.controller.link.minRTT ?? .zero
    #expect(abs(distance.seconds - max(now.rtt, 0.001)) < 0.001)

    var (honest, lied) = (VirtualTransfer(seed: seed), VirtualTransfer(seed: seed))
    lied.lie = { $0.pingRTT = seed % 2 == 0 ? .seconds(3600) : .zero }
    _ = honest.run(now, seconds: settling + 20, settle: 0)
    _ = lied.run(now, seconds: settling + 20, settle: 0)
    #expect(lied.delivered >= honest.delivered / 2, "\(now)")
  }

  private final class Counter: Sendable {
    private let count = Mutex(0)
    func next() -> Int {
      count.withLock { count in
        defer { count += 1 }
        return count
      }
    }
  }
}
