import StreamDiffCore
import Testing

@Suite("Raft, a group of one voter")
struct RaftCoreTests {
  static let id = NodeID(1)

  static func core(
    _ hardState: HardState = HardState(), last: EntryID = .zero, applied: LogIndex = .zero
  ) -> RaftCore {
    RaftCore(id: id, hardState: hardState, lastEntry: last, applied: applied)
  }

  @Test("Raft §5.2: a start is a new term, persisted with a vote before anything is committed")
  func start() {
    var core = Self.core(
      HardState(term: Term(4), vote: Self.id, commit: LogIndex(2)), last: EntryID(LogIndex(7), term: Term(4)),
      applied: LogIndex(2))
    #expect(core.status.role == .leader)
    let ready = core.takeReady()
    #expect(ready?.hardState == HardState(term: Term(5), vote: Self.id, commit: LogIndex(2)))
    #expect(ready?.entries == [LogEntry(index: LogIndex(8), term: Term(5), payload: Command.noop.encode())])
    #expect(ready?.committed == nil)
    #expect(core.takeReady() == nil)
  }

  @Test("Raft §5.4.2: the inherited log commits with the first entry of the new term")
  func inheritedLog() {
    var core = Self.core(
      HardState(term: Term(1), vote: Self.id), last: EntryID(LogIndex(7), term: Term(1)), applied: LogIndex(3)
    )
    _ = core.takeReady()
    core.persisted(through: LogIndex(8))
    #expect(core.takeReady()?.committed == LogIndex(4)...LogIndex(8))
    #expect(core.status.commit == LogIndex(8))
  }

  @Test("what is proposed comes out once, to be persisted, and is committed only then")
  func proposals() {
    var core = Self.core()
    _ = core.takeReady()
    core.persisted(through: LogIndex(1))
    #expect(core.propose([[1], [2]]) == EntryID(LogIndex(2), term: Term(1)))
    #expect(core.propose([[3]]) == EntryID(LogIndex(4), term: Term(1)))

    let ready = core.takeReady()
    #expect(ready?.hardState == nil)
    #expect(ready?.entries.map(\.payload) == [[1], [2], [3]])
    #expect(ready?.entries.map(\.index) == [LogIndex(2), LogIndex(3), LogIndex(4)])
    #expect(ready?.committed == LogIndex(1)...LogIndex(1))

    core.persisted(through: LogIndex(3))
    #expect(core.takeReady()?.committed == LogIndex(2)...LogIndex(3))
    #expect(core.takeReady() == nil)
    core.persisted(through: LogIndex(4))
    #expect(core.takeReady()?.committed == LogIndex(4)...LogIndex(4))
  }

  @Test(
    "with anything proposed, persisted and taken in any order, each entry commits once, in order",
    arguments: 0..<50)
  func anyOrder(seed: Int) {
    var random = SplitMix(seed: seed)
    var core = Self.core()
    var (handedOut, durable, applied) = (LogIndex.zero, LogIndex.zero, LogIndex.zero)
    for _ in 0..<500 {
      switch Int.random(in: 0..<3, using: &random) {
      case 0: _ = core.propose(Array(repeating: [7], count: .random(in: 0...3, using: &random)))
      case 1:
        guard let ready = core.takeReady() else { continue }
        for entry in ready.entries {
          #expect(entry.index == handedOut + 1)
          handedOut = entry.index
        }
        if let committed = ready.committed {
          #expect(committed.lowerBound == applied + 1)
          #expect(committed.upperBound <= durable)
          applied = committed.upperBound
        }
      default:
        guard handedOut > durable else { continue }
        durable = durable + UInt64.random(in: 1...(handedOut - durable), using: &random)
        core.persisted(through: durable)
      }
    }
    _ = core.takeReady()
    #expect(core.status.commit == durable)
  }
}
