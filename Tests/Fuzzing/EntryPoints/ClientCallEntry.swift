import Dispatch
import Foundation
import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Synchronization

extension EntryPoints {
  /// A whole client whose server says what it likes, in frames: the first one only names the call. What comes back
  /// is an answer or a `ClientFailure`, soon.
  static let client = EntryPoint(
    "client", shape: .frames, maximumBytes: 24 << 10, dictionary: FrameSamples.words,
    seeds: { ClientSamples.all }
  ) { input, seen in
    var frames = Shape.frames.split(input)
    guard !frames.isEmpty else { return }
    let call = ClientSamples.Call.of(frames.removeFirst())
    let server = try HostileServer()
    let script = HostileServer.Script(first: FrameSamples.settings, afterRequest: Array(frames.joined()))
    let isServed = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      server.serve(script)
      isServed.signal()
    }
    let start = ContinuousClock.now
    do {
      let outcome: Result<String, ClientFailure> = try Blocking.run {
        let client = try await StreamDiffClient.connect([ServerAddress(host: "127.0.0.1", port: server.port)])
        let outcome: Result<String, ClientFailure>
        do throws(ClientFailure) {
          outcome = .success(try await ClientSamples.make(call, with: client))
        } catch {
          outcome = .failure(error)
        }
        await client.close()
        return outcome
      }
      switch outcome {
      case .success(let words): seen.note("\(call): \(words)")
      case .failure(let failure):
        seen.note("\(call): \(failure.kind) \(failure.detail)")
        // What a person reads: of what the server says no more than a header section holds.
        try require(
          1...(32 << 10) ~= failure.detail.utf8.count, "a reason of \(failure.detail.utf8.count) bytes")
      }
    }
    try require(ContinuousClock.now - start < .seconds(ClientSamples.seconds), "\(call) takes too long")
    let isClosed = isServed.wait(timeout: .now() + .seconds(ClientSamples.seconds)) == .success
    try require(isClosed, "the client does not close its connection")
  }
}

enum ClientSamples {
  /// On a busy machine; no call waits for more than the server's end.
  static let seconds = 15

  enum Call: UInt8, CaseIterable {
    case status, get, scan, push, compare, pull

    static func of(_ frame: [UInt8]) -> Call { allCases[Int(frame.last ?? 0) % allCases.count] }
  }

  /// - Returns: what came of it.
  static func make(_ call: Call, with client: StreamDiffClient) async throws(ClientFailure) -> String {
    switch call {
    case .status:
      let status = try await client.status()
      return "\(status.role) \(status.keyspaces.count) \(status.sessions.count)"
    case .get: return try await client.get([1], in: .default).value == nil ? "absent" : "present"
    case .scan:
      var pages = 0
      try await client.scan(prefix: [], in: .default) { _ in pages += 1 }
      return String(repeating: "+", count: pages)
    case .push, .compare:
      var options = SyncOptions(keyspace: .default, kind: .plain, session: Samples.session)
      options.isCompareOnly = call == .compare
      return "\(try await client.push(SyncSamples.wanted, options: options).outcome)"
    case .pull:
      let options = SyncOptions(keyspace: .default, kind: .plain, session: Samples.session)
      return "\(try await client.pull(into: MapSink(SyncSamples.held), options: options).outcome)"
    }
  }

  // MARK: Samples

  private static func answer(_ call: Call, _ messages: [[UInt8]], isEnded: Bool = true) -> [UInt8] {
    var bytes = FrameSamples.frame(0xfa, [call.rawValue]) + FrameSamples.frame(4, flags: 1)
    bytes += FrameSamples.frame(1, flags: 4, stream: 1, FrameSamples.answer)
    for message in messages { bytes += FrameSamples.frame(0, stream: 1, message) }
    return isEnded ? bytes + FrameSamples.frame(1, flags: 5, stream: 1, FrameSamples.trailers) : bytes
  }

  private static func answer(_ call: Call, _ message: any WireMessage) -> [UInt8] {
    answer(call, [Shape.messages.part(Array(buffer: message.encode()))])
  }

  private static let failed = [Call.get, .pull, .push].map { call in
    FrameSamples.frame(0xfa, [call.rawValue])
      + FrameSamples.frame(1, flags: 5, stream: 1, FrameSamples.answer + FrameSamples.trailers)
  }

  static let all: [[UInt8]] =
    MessageSamples.group.map { answer(.status, $0) }
    + MessageSamples.keyValue.flatMap { [answer(.get, $0), answer(.scan, $0)] }
    + MessageSamples.sync.flatMap { [answer(.push, $0), answer(.pull, $0)] }
    + SyncSamples.toReceiver.map { answer(.pull, Shape.messages.split($0)) }
    + SyncSamples.toSender.map { answer(.push, Shape.messages.split($0)) }
    + SyncSamples.toComparison.map { answer(.compare, Shape.messages.split($0), isEnded: false) }
    + FrameSamples.answers.flatMap { answer in
      [Call.get, .pull].map { FrameSamples.frame(0xfa, [$0.rawValue]) + answer }
    } + failed
}

/// A sink in memory.
private final class MapSink: SyncSink {
  private let state: Mutex<MapContent>

  init(_ content: MapContent) { state = Mutex(content) }

  func content() async throws -> any SyncContent { state.withLock { $0 } }

  func apply(
    _ run: OperationRun, done: @escaping @Sendable (Result<AppliedRun, any Error>) -> Void
  ) async throws {
    state.withLock { content in
      for operation in run.operations.operations {
        switch operation.change {
        case .put(let value): content.put(operation.key, value)
        case .delete: content.delete(operation.key)
        }
      }
    }
    done(.success(AppliedRun()))
  }

  func seal() async throws -> any SyncContent {
    state.withLock { content in
      content.settle()
      return content
    }
  }
}

extension MapContent: SyncSource {
  var index: LogIndex { .zero }

  func readRecords(
    from lower: [UInt8], to upper: [UInt8]?, limit: Int, into records: inout [DigestRecord]
  ) throws {
    let wanted = self.records.lazy.filter { record in
      !record.key.lexicographicallyPrecedes(lower)
        && (upper.map { record.key.lexicographicallyPrecedes($0) } ?? true)
    }
    records += wanted.prefix(limit)
  }

  func readValues(of keys: [[UInt8]], _ visit: (_ place: Int, _ value: RawSpan) throws -> Void) throws {
    for (place, key) in keys.enumerated() {
      guard let value = values[key] else { throw SyncFailure(.sourceChanged, "a value is gone") }
      try visit(place, value.span.bytes)
    }
  }
}
