/// A packet on its way: where its bytes are, how many, and when it is due.
struct Packet: Sendable {
  /// `nil`: lost already, and only takes its room and its time.
  var slot: UInt32?
  var length: Int32
  var due: Moment
}

/// First in, first out, of fixed size: nothing is allocated after `init`.
struct PacketRing: Sendable {
  private var packets: [Packet]
  private var head = 0
  private(set) var count = 0

  init(capacity: Int) {
    packets = Array(repeating: Packet(slot: nil, length: 0, due: Moment(0)), count: capacity)
  }

  var isFull: Bool { count == packets.count }
  var isEmpty: Bool { count == 0 }

  var first: Packet? { count == 0 ? nil : packets[head] }

  /// - Precondition: it is not full.
  mutating func append(_ packet: Packet) {
    precondition(!isFull, "a ring of \(packets.count) packets is full")
    var place = head &+ count
    if place >= packets.count { place &-= packets.count }
    packets[place] = packet
    count &+= 1
  }

  /// - Precondition: it is not empty.
  mutating func removeFirst() -> Packet {
    precondition(!isEmpty, "an empty ring has no first packet")
    let packet = packets[head]
    head &+= 1
    if head == packets.count { head = 0 }
    count &-= 1
    return packet
  }
}
