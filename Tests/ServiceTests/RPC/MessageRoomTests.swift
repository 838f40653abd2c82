import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct MessageRoomTests {
  private static let page = 1 << 20
  private let limits = RPCLimits()

  /// - Returns: all that is answered at once.
  private func answers(_ room: inout MessageRoom, held: Int = 0, others: Int = 0) -> [MessageRoom.Answer] {
    var answers: [MessageRoom.Answer] = []
    while let answer = room.next(held: held, others: others, limits: limits) { answers.append(answer) }
    return answers
  }

  private func asking(_ streams: some Sequence<Int32>, hasSent: Bool = false) -> MessageRoom {
    var room = MessageRoom()
    for stream in streams { room.ask(StreamID(stream), for: Self.page, hasSent: hasSent) }
    return room
  }

  @Test(
    "of streams that nobody has read yet as many begin as have room; more when a message leaves or a call ends"
  )
  func beginning() {
    var room = asking(1...900)
    #expect(answers(&room) == (1...4).map { .grant(StreamID($0)) })
    #expect(room.grantedBytes == 4 * Self.page)
    // One came and is held, two came and left, one call ended without.
    for stream: Int32 in 1...4 { room.settle(StreamID(stream)) }
    #expect(answers(&room, held: Self.page) == (5...7).map { .grant(StreamID($0)) })
    // Nobody reads.
    for stream: Int32 in 5...7 { room.settle(StreamID(stream)) }
    #expect(answers(&room, held: 4 * Self.page) == [])
  }

  @Test(
    "streams that were read come before those that begin, and find room where those that stalled left none")
  func continuing() {
    var room = asking(1...2)
    room.ask(StreamID(9), for: Self.page, hasSent: true)
    #expect(answers(&room, held: 4 * Self.page) == [.grant(StreamID(9))])
    room.settle(StreamID(9))
    #expect(answers(&room) == [.grant(StreamID(1)), .grant(StreamID(2))])
    var stalled = asking([11], hasSent: true)
    #expect(answers(&stalled, held: limits.connectionPageBytes) == [])
  }

  @Test("a call that ends while it waits is passed over")
  func ended() {
    var room = asking([1, 2])
    room.settle(StreamID(1))
    #expect(answers(&room) == [.grant(StreamID(2))])
    room.settle(StreamID(2))
    #expect(room.grantedBytes == 0)
  }

  @Test(
    "when half of the server's bytes are held each connection has one page; when all are, a scan is refused")
  func scarce() {
    let half = limits.serverSendBytes / 2
    var room = asking(1...3)
    #expect(answers(&room, others: half) == [.grant(StreamID(1))])
    room.settle(StreamID(1))
    #expect(answers(&room, held: Self.page, others: half) == [])
    #expect(answers(&room, others: limits.serverSendBytes) == [.refuse(StreamID(2)), .refuse(StreamID(3))])
  }

  @Test("a message longer than a connection may hold is made where nothing is held")
  func long() {
    var room = MessageRoom()
    room.ask(StreamID(1), for: limits.connectionPageBytes + 1, hasSent: true)
    #expect(answers(&room, held: 1) == [])
    #expect(answers(&room) == [.grant(StreamID(1))])
  }
}
