/// One direction of a link, as a value: told what arrives and what time it is, it says which packet leaves when.
///
/// A packet waits in the drop-tail queue, takes its time on the transmitter, is lost there or flies for the delay,
/// and is due. Order is kept throughout, so that two rings are all there is. Bytes lie elsewhere, in slots that the
/// caller lends: `arrive` keeps a slot only when it says `.carried`, `next` gives it back.
public struct Link: Sendable {
  public enum Verdict: Sendable { case carried, lost, dropped, cut }

  public struct Delivery: Sendable {
    public let slot: UInt32
    public let length: Int
    /// Its time came in a cut: it goes nowhere.
    public let isCut: Bool
  }

  public private(set) var settings: LinkSettings
  public private(set) var counters = LinkCounters()
  private let mtu: Int
  private var queueLimit: Int
  /// In order of arrival; the first is on the transmitter until `firstIsSent`.
  private var waiting: PacketRing
  private var firstIsSent = Moment(0)
  /// In order of `due`.
  private var flying: PacketRing
  private var lastDue = Moment(.min)
  private var cutEnd = Moment(.min)
  // Two, so that the fate of the n-th packet to arrive depends on n and the seed alone.
  private var lossDraws: SeededRandom
  private var jitterDraws: SeededRandom

  /// - Parameter capacity: slots that there are; no more are ever kept.
  public init(_ settings: LinkSettings, mtu: Int, capacity: Int, seed: UInt64) {
    self.settings = settings
    self.mtu = mtu
    queueLimit = settings.queueBytes ?? settings.defaultQueueBytes(mtu: mtu)
    waiting = PacketRing(capacity: capacity)
    flying = PacketRing(capacity: capacity)
    var seeds = SeededRandom(seed: seed)
    lossDraws = SeededRandom(seed: seeds.next())
    jitterDraws = SeededRandom(seed: seeds.next())
  }

  /// A packet comes in at one end. `now` never moves back, here and below.
  public mutating func arrive(slot: UInt32, length: Int, now: Moment) -> Verdict {
    send(until: now)
    counters.packetsIn &+= 1
    counters.bytesIn &+= UInt64(length)
    let isLost = settings.loss.strikes(&lossDraws)
    if now < cutEnd {
      counters.cut &+= 1
      return .cut
    }
    guard let rate = settings.rate else {
      if isLost {
        counters.lost &+= 1
        return .lost
      }
      fly(Packet(slot: slot, length: Int32(length), due: now), sent: now)
      return .carried
    }
    guard counters.queueBytes + length <= queueLimit, !waiting.isFull else {
      counters.dropped &+= 1
      return .dropped
    }
    if waiting.isEmpty { firstIsSent = now + rate.time(for: length) }
    waiting.append(Packet(slot: isLost ? nil : slot, length: Int32(length), due: now))
    counters.queueBytes += length
    counters.queueBytesMost = max(counters.queueBytesMost, counters.queueBytes)
    guard isLost else { return .carried }
    counters.lost &+= 1
    return .lost
  }

  /// - Returns: the next packet that is due, until there is none.
  public mutating func next(now: Moment) -> Delivery? {
    send(until: now)
    guard let first = flying.first, first.due <= now else { return nil }
    _ = flying.removeFirst()
    let isCut = first.due < cutEnd
    if isCut {
      counters.cut &+= 1
    } else {
      counters.packetsOut &+= 1
      counters.bytesOut &+= UInt64(first.length)
      counters.lateness.add(now - first.due)
    }
    // Only packets with a slot fly.
    return first.slot.map { Delivery(slot: $0, length: Int(first.length), isCut: isCut) }
  }

  /// When to call `next` again; at the latest when the next packet is due. `nil`: nothing is on its way.
  public var wakeTime: Moment? {
    if let first = flying.first { return first.due }
    return waiting.isEmpty ? nil : firstIsSent + (settings.delay - settings.jitter)
  }

  /// From now on. What flies keeps its due time, what waits is sent at the new rate, and the queue drops nothing
  /// that it has already taken.
  public mutating func change(to new: LinkSettings, now: Moment) {
    send(until: now)
    let old = settings
    settings = new
    queueLimit = new.queueBytes ?? new.defaultQueueBytes(mtu: mtu)
    guard !waiting.isEmpty else { return }
    if let before = old.rate, let after = new.rate {
      let left = Double((firstIsSent - now).nanoseconds)
      let ratio = Double(before.bitsPerSecond) / Double(after.bitsPerSecond)
      firstIsSent = now + Interval(Int64(left * ratio))
    } else {
      firstIsSent = now
      send(until: now)
    }
  }

  /// Everything that arrives or is due before `length` has passed is gone. A cut of zero ends one.
  public mutating func cut(for length: Interval, now: Moment) {
    send(until: now)
    cutEnd = now + length
  }

  /// Counters as of now, which are then zero, except for what is in the queue.
  public mutating func resetCounters(now: Moment) {
    send(until: now)
    let queued = counters.queueBytes
    counters = LinkCounters()
    counters.queueBytes = queued
    counters.queueBytesMost = queued
  }

  /// Counters, with the queue as it is at `now`.
  public mutating func counters(now: Moment) -> LinkCounters {
    send(until: now)
    return counters
  }

  /// Moves what the transmitter has finished into flight.
  private mutating func send(until now: Moment) {
    while firstIsSent <= now, !waiting.isEmpty {
      let packet = waiting.removeFirst()
      counters.queueBytes -= Int(packet.length)
      if packet.slot != nil { fly(packet, sent: firstIsSent) }
      if let following = waiting.first, let rate = settings.rate {
        firstIsSent = firstIsSent + rate.time(for: Int(following.length))
      }
    }
  }

  private mutating func fly(_ packet: Packet, sent: Moment) {
    var packet = packet
    packet.due = sent + settings.delay
    let jitter = settings.jitter.nanoseconds
    if jitter > 0 {
      packet.due = packet.due + Interval(.random(in: -jitter...jitter, using: &jitterDraws))
    }
    packet.due = max(packet.due, lastDue)
    lastDue = packet.due
    flying.append(packet)
  }
}

/// What one direction has done since it began, or since they were reset.
public struct LinkCounters: Sendable {
  public internal(set) var packetsIn: UInt64 = 0
  public internal(set) var bytesIn: UInt64 = 0
  public internal(set) var packetsOut: UInt64 = 0
  public internal(set) var bytesOut: UInt64 = 0
  /// At random.
  public internal(set) var lost: UInt64 = 0
  /// The queue was full.
  public internal(set) var dropped: UInt64 = 0
  /// By a cut, on arrival or on the way.
  public internal(set) var cut: UInt64 = 0
  public internal(set) var queueBytes = 0
  public internal(set) var queueBytesMost = 0
  /// Of packets that left, against when they were due.
  public internal(set) var lateness = Lateness()

  public init() {}
}
