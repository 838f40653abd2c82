import ArgumentParser
import NIOCore
import NIOPosix
import StreamDiffCore
import StreamDiffService
import StreamDiffWire
import Synchronization

struct Send: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Keep one call busy, and say how it went.")

  @Argument(help: "HOST:PORT of `serve`.")
  var server: String
  @Argument(help: "chunks, bytes or echo.")
  var work: Work
  @Argument(help: "Bytes of a message; of chunks, plain ones.")
  var bytes: Int
  @Argument(help: "How long, after a warm-up of a quarter of it.")
  var seconds: Double
  @Argument(help: "Messages that may be unacknowledged.")
  var ahead: Int
  @Option(help: "Where the call's tasks run: loop or pool.")
  var on = Place.loop

  func run() async throws {
    guard let colon = server.lastIndex(of: ":"), let port = Int(server[server.index(after: colon)...]) else {
      throw ValidationError("'\(server)' is no HOST:PORT")
    }
    let client = try await RPCClient.connect(
      host: String(server[..<colon]), port: port, group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    let stream = try await client.open(work.path)
    let line = try await withTaskExecutorPreference(on == .loop ? client.executor : nil) {
      work == .echo ? try await trips(stream) : try await flow(stream)
    }
    print(line)
    await client.close()
  }

  // MARK: One way

  private func flow(_ stream: ClientStream) async throws -> String {
    let clock = ContinuousClock()
    let progress = Progress(ahead: ahead)
    let begun = clock.now
    let warm = begun + .seconds(seconds / 4)
    let end = warm + .seconds(seconds)
    async let sent = send(stream, progress, until: end)
    var acknowledged = 0
    var atWarm: (time: ContinuousClock.Instant, messages: Int)?
    var atEnd: (time: ContinuousClock.Instant, messages: Int)?
    while let message = try await stream.next() {
      acknowledged = try count(message)
      progress.acknowledged(acknowledged)
      let now = clock.now
      if atWarm == nil, now >= warm { atWarm = (now, acknowledged) }
      if now <= end || atEnd == nil { atEnd = (now, acknowledged) }
    }
    let total = try await sent
    guard let atWarm, let atEnd, atEnd.messages > atWarm.messages else {
      throw ValidationError("nothing was acknowledged within \(seconds) s")
    }
    guard total - acknowledged < Work.acknowledged else {
      throw ValidationError("\(total) messages were sent, \(acknowledged) are acknowledged")
    }
    return """
      {"messages": \(atEnd.messages - atWarm.messages), "seconds": \(atWarm.time.duration(to: atEnd.time) / .seconds(1)), \
      "all": \(total)}
      """
  }

  /// - Returns: how many messages have been acknowledged.
  private func count(_ message: ByteBuffer) throws -> Int {
    switch work {
    case .chunks:
      guard case .ack(let ack) = try SyncMessage(decoding: message) else {
        throw ValidationError("not an acknowledgement")
      }
      return Int(ack.index.rawValue)
    default: return message.getInteger(at: message.readerIndex, as: UInt64.self).map(Int.init) ?? 0
    }
  }

  /// - Returns: messages sent.
  private func send(
    _ stream: ClientStream, _ progress: Progress, until end: ContinuousClock.Instant
  ) async throws -> Int {
    defer { stream.halfClose() }
    var sent = 0
    if work == .chunks { return try await sendChunks(stream, progress, until: end) }
    let message = ByteBuffer(repeating: 0x5a, count: bytes)
    while sent % 64 != 0 || ContinuousClock.now < end {
      await progress.mayExceed(sent)
      try await stream.send(message)
      sent += 1
    }
    return sent
  }

  /// As a session's sender does, from operations on.
  private func sendChunks(
    _ stream: ClientStream, _ progress: Progress, until end: ContinuousClock.Instant
  ) async throws -> Int {
    var writer = ChunkWriter()
    let settings = ChunkSettings(bytes: bytes, encoding: ChunkEncoding(codec: .none, level: 0))
    // Longer than a chunk with its key, so that chunks end anywhere within operations.
    let value = (0..<64 << 10).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
    let key = Array("a key of 20 bytes...".utf8)
    var sent = 0
    while true {
      let isOver = ContinuousClock.now >= end
      if !isOver { try writer.append(put: key.span, expecting: .absent, value: value.span) }
      while let chunk = try writer.nextChunk(settings: settings, ending: isOver) {
        await progress.mayExceed(sent)
        try await stream.send(SyncMessage.chunk(chunk).encode())
        sent += 1
        if chunk.isLast { return sent }
      }
    }
  }

  // MARK: There and back

  private func trips(_ stream: ClientStream) async throws -> String {
    let clock = ContinuousClock()
    let message = ByteBuffer(repeating: 0x5a, count: bytes)
    let warm = clock.now + .seconds(seconds / 4)
    let end = warm + .seconds(seconds)
    var times: [Double] = []
    var all = 0
    var last = clock.now
    while last < end {
      try await stream.send(message)
      guard let answer = try await stream.next(), answer.readableBytes == bytes else {
        throw ValidationError("a message did not come back")
      }
      let now = clock.now
      if last >= warm { times.append(last.duration(to: now) / .microseconds(1)) }
      all += 1
      last = now
    }
    stream.halfClose()
    while try await stream.next() != nil {}
    times.sort()
    return """
      {"trips": \(times.count), "p50_us": \(times[times.count / 2]), "p99_us": \(times[times.count * 99 / 100]), \
      "all": \(all)}
      """
  }
}

/// How far the one who sends may be ahead of the one who acknowledges.
private final class Progress: Sendable {
  private struct State {
    var acknowledged = 0
    var waiter: (sent: Int, continuation: CheckedContinuation<Void, Never>)?
  }

  private let ahead: Int
  private let state = Mutex(State())

  init(ahead: Int) { self.ahead = ahead }

  func acknowledged(_ count: Int) {
    let waiter = state.withLock { state in
      state.acknowledged = count
      guard let waiter = state.waiter, waiter.sent - count < ahead else {
        return nil as CheckedContinuation<Void, Never>?
      }
      state.waiter = nil
      return waiter.continuation
    }
    waiter?.resume()
  }

  /// Waits until one more than `sent` may be under way.
  func mayExceed(_ sent: Int) async {
    if state.withLock({ sent - $0.acknowledged < ahead }) { return }
    await withCheckedContinuation { continuation in
      let isFree = state.withLock { state in
        if sent - state.acknowledged < ahead { return true }
        state.waiter = (sent, continuation)
        return false
      }
      if isFree { continuation.resume() }
    }
  }
}
