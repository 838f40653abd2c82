import StreamDiffCore
import Testing

/// Counters whose every operation increments what it replaced, brought over connections that are cut at
/// random, by a network that delivers late, twice and out of order: against a model.
@Suite("Exactly once")
struct ExactlyOnceTests {
  private struct Sender {
    let id: SessionID
    let isUnary: Bool
    /// What the counters hold if every operation so far is applied once: operation n sets counter
    /// n mod 5 to n.
    var acknowledged: UInt64 = 0
    var sent: UInt64 = 0
    var fence = LogIndex.zero
    var isOver = false
  }

  private static func key(_ id: SessionID, _ counter: UInt64) -> [UInt8] { id.bytes + [UInt8(counter)] }
  private static func value(_ number: UInt64) -> [UInt8] { Array("\(number)".utf8) }

  /// Operation `number`: its counter goes from what operation `number` - 5 left to `number`.
  private static func operation(_ id: SessionID, _ number: UInt64) -> Operation {
    let key = key(id, number % 5)
    let expected: StreamDiffCore.Expectation =
      number > 5 ? .digest(EntryDigest.of(key, value(number - 5))) : .absent
    return Operation(key: key, expectation: expected, change: .put(value: value(number)))
  }

  @Test("each operation is applied exactly once or reported", arguments: 0..<60)
  func property(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var state = SessionState()
    let policy = SessionExpiryPolicy(lifetime: .seconds(2), remembered: .seconds(2))
    var senders = (0..<4).map { Sender(id: SessionID(using: &random), isUnary: $0 % 2 == 0) }
    /// Commands that senders have sent and that may still arrive, once or more often.
    var network: [(sender: Int, last: UInt64, command: Command)] = []

    func batch(_ sender: Sender, _ numbers: ClosedRange<UInt64>) throws -> Command {
      .operations(
        OperationBatch(
          keyspace: SessionState.name, kind: .plain, session: sender.id,
          firstOrdinal: Ordinal(numbers.lowerBound), fence: sender.fence,
          operations: try EncodedOperations(numbers.map { Self.operation(sender.id, $0) })))
    }

    for _ in 0..<1000 {
      state.now = state.now + .milliseconds(Int.random(in: 0...4, using: &random))
      let place = Int.random(in: 0..<senders.count, using: &random)
      switch Int.random(in: 0..<100, using: &random) {
      case 0..<45:  // send the next, or the same again
        guard !senders[place].isOver else { break }
        let sender = senders[place]
        if sender.isUnary {
          let next = sender.acknowledged + 1
          senders[place].sent = next
          network.append((place, next, try batch(sender, next...next)))
        } else if sender.fence > .zero {
          let from = Bool.random(using: &random) ? sender.sent + 1 : sender.acknowledged + 1
          let last = from + .random(in: 0..<8, using: &random)
          senders[place].sent = max(sender.sent, last)
          network.append((place, last, try batch(sender, from...last)))
        }
      case 45..<85:  // something arrives; it may arrive again
        guard let at = network.indices.randomElement(using: &random) else { break }
        let message = network[at]
        if Int.random(in: 0..<4, using: &random) > 0 { network.remove(at: at) }
        let outcome = try state.apply(message.command)
        switch outcome {
        case .advanced(let advance):
          #expect(advance.conflicts.isEmpty, "seed \(seed): \(advance) of \(message.command)")
          // Whether the answer gets back is another matter.
          if Bool.random(using: &random), message.last > senders[message.sender].acknowledged {
            #expect(advance.record.answer(for: Ordinal(message.last)) != .unknown)
            senders[message.sender].acknowledged = message.last
          }
        case .refused(.sessionExpired), .refused(.sessionUnknown):
          // Reported: whatever was not acknowledged is unknown to its sender, which goes no further.
          senders[message.sender].isOver = true
        case .refused(.superseded), .refused(.gap): break
        default: Issue.record("seed \(seed): \(outcome)")
        }
      case 85..<93:  // a connection is cut, and another is made
        guard !senders[place].isUnary, !senders[place].isOver else { break }
        switch try state.apply(
          .openSession(SessionOpening(senders[place].id, resumes: senders[place].fence > .zero)))
        {
        case .opened(let record):
          let sender = senders[place]
          #expect(record.lastOrdinal.rawValue >= sender.acknowledged, "seed \(seed)")
          #expect(record.lastOrdinal.rawValue <= sender.sent, "seed \(seed)")
          (senders[place].acknowledged, senders[place].sent) = (
            record.lastOrdinal.rawValue, record.lastOrdinal.rawValue
          )
          senders[place].fence = record.fence
        case .refused(.sessionExpired), .refused(.sessionUnknown): senders[place].isOver = true
        case let other: Issue.record("seed \(seed): \(other)")
        }
      case 93..<97: _ = try state.expire(policy)
      default:
        if Int.random(in: 0..<10, using: &random) == 0 { state.now = state.now + .seconds(3) }
      }
    }

    // Of each sender the counters are those of a prefix of its operations, each applied once, and the
    // prefix covers what was acknowledged and nothing that was not sent.
    let values = state.store.values(of: SessionState.name)
    for sender in senders {
      let counters = (0..<5).map {
        values[Self.key(sender.id, $0)].map { String(decoding: $0, as: UTF8.self) }
      }
      let last = counters.compactMap { $0.flatMap { UInt64($0) } }.max() ?? 0
      #expect(last >= sender.acknowledged && last <= max(sender.sent, sender.acknowledged), "seed \(seed)")
      for counter in 0..<5 as Range<UInt64> {
        let number = (0...last).reversed().first { $0 > 0 && $0 % 5 == counter }
        #expect(counters[Int(counter)] == number.map { "\($0)" }, "seed \(seed)")
      }
      if let record = state.store.sessions.records[sender.id] {
        #expect(record.lastOrdinal.rawValue == last && record.conflicts == 0, "seed \(seed)")
      }
    }
    #expect(state.store.sessions.table.records == state.store.sessions.records.count)
  }
}
