import StreamDiffCore

/// What the two sides of the sessions hold, and what they said to each other in sessions that went well.
enum SyncSamples {
  static let salt: UInt64 = 0x0102_0304_0506_0708

  /// The receiver's content, and the sender's: several leaves, most of them alike.
  static let held = MapContent.numbered(700)
  static let wanted: MapContent = {
    var content = MapContent.numbered(760)
    for number in stride(from: 3, to: 500, by: 97) {
      content.put(Array("key-\(100_000 + number)".utf8), Array("changed".utf8))
      content.delete(Array("key-\(100_010 + number)".utf8))
    }
    content.settle()
    return content
  }()

  static func receiving(_ tree: MerkleTree) -> SyncReceiver.Configuration {
    var configuration = SyncReceiver.Configuration(
      keyspace: .default, kind: .plain, tree: tree, salt: salt)
    configuration.index = LogIndex(10)
    return configuration
  }

  static func sending(_ tree: MerkleTree?, isCompareOnly: Bool) -> SyncSender.Configuration {
    var configuration = SyncSender.Configuration(
      keyspace: .default, kind: .plain, session: Samples.session, tree: tree)
    configuration.isCompareOnly = isCompareOnly
    return configuration
  }

  // Sessions: over what differs, over nothing, into nothing, of a few, without comparison.
  private static let whole = Recording(from: wanted, to: held)
  private static let fresh = Recording(from: MapContent.numbered(40), to: MapContent())
  private static let bringing = Recording(from: nil, to: held)
  private static let comparison = Recording(from: wanted, to: held, isCompareOnly: true)

  static let toReceiver =
    [whole, bringing, comparison].map(\.toReceiver) + [Recording(from: held, to: held).toReceiver]
  static let toSender = [
    whole.toSender, Recording(from: wanted, to: MapContent()).toSender,
    Recording(from: wanted, to: MapContent.numbered(60, step: 7)).toSender,
    Recording(from: wanted, to: wanted).toSender, fresh.toSender,
  ]
  static let toComparison = [
    comparison.toSender, Recording(from: wanted, to: MapContent(), isCompareOnly: true).toSender,
  ]
}

/// One session between two contents in memory, message by message.
private struct Recording {
  private(set) var toReceiver: [UInt8] = []
  private(set) var toSender: [UInt8] = []

  init(from source: MapContent?, to target: MapContent, isCompareOnly: Bool = false) {
    // What our own machines say to each other breaks no rule.
    try! record(source, target, isCompareOnly)
  }

  private mutating func record(_ source: MapContent?, _ target: MapContent, _ isCompareOnly: Bool) throws {
    var target = target
    var sender = SyncSender(SyncSamples.sending(source?.tree, isCompareOnly: isCompareOnly))
    var receiver = SyncReceiver(SyncSamples.receiving(target.tree))
    var writer = ChunkWriter()
    var reader = ChunkReader()
    var forSender: [SyncAction] = sender.start()
    var forReceiver: [SyncAction] = receiver.start()
    var isOver = false
    while !isOver, !forSender.isEmpty || !forReceiver.isEmpty {
      for action in exchange(&forReceiver) {
        switch action {
        case .send(let message):
          toSender += ChunkSamples.message(message)
          forSender += try sender.receive(message)
          if source == nil, case .hello = message {
            try writer.append(put: [1], expecting: .any, value: [2])
            _ = sender.operationsTaken(1)
            forSender += sender.endOperations()
          }
        case .readRecords(let request):
          let page = target.page(request)
          forReceiver += try receiver.recordsRead(request.id, page.records, isEnd: page.isEnd)
        case .seal:
          target.settle()
          forReceiver += receiver.sealed(tree: target.tree, index: LogIndex(12), salt: 1)
        case .plan, .finish: break
        }
      }
      for action in exchange(&forSender) {
        switch action {
        case .send(let message):
          toReceiver += ChunkSamples.message(message)
          forReceiver += try receiver.receive(message)
        case .readRecords(let request):
          let page = (source ?? MapContent()).page(request)
          forSender += sender.recordsRead(request.id, page.records, isEnd: page.isEnd)
        case .plan(let operations):
          for operation in operations {
            switch (operation.change, source?.values[operation.key]) {
            case (.put, let value?):
              try writer.append(put: operation.key, expecting: operation.expectation, value: value)
            default: try writer.append(deleting: operation.key, expecting: operation.expectation)
            }
          }
          forSender += sender.operationsTaken(operations.count)
        case .seal:
          let settings = ChunkSettings(bytes: 2048, encoding: ChunkEncoding(codec: .zstd, level: 1))
          while let chunk = try writer.nextChunk(settings: settings, ending: true) {
            toReceiver += ChunkSamples.message(.chunk(chunk))
            let actions = try receiver.receive(.chunk(chunk))
            for run in try reader.receive(chunk) {
              for operation in run.operations.operations {
                if case .put(let value) = operation.change {
                  target.put(operation.key, value)
                } else {
                  target.delete(operation.key)
                }
              }
              forReceiver += receiver.applied(through: run.lastOrdinal, index: LogIndex(11), conflicts: 0)
            }
            forReceiver += actions
            if chunk.isLast { break }
          }
        case .finish: isOver = true
        }
      }
    }
    precondition(isOver, "the sample session does not end")
  }

  private func exchange(_ actions: inout [SyncAction]) -> [SyncAction] {
    defer { actions = [] }
    return actions
  }
}
