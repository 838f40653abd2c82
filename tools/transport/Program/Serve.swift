import ArgumentParser
import Glibc
import NIOCore
import NIOPosix
import StreamDiffCore
import StreamDiffService
import StreamDiffWire

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Take in what `send` sends.")

  @Option(help: "Where handlers run: loop or pool.")
  var on = Place.loop

  func run() async throws {
    var router = RPCRouter()
    for work in Work.allCases {
      router.register(work.path, on == .loop ? .loopStream(work.serve) : .stream(work.serve))
    }
    let server = try await RPCServer.bind(
      host: "127.0.0.1", port: 0, router: router, group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
    print("ready listen=\(server.host):\(server.port)")
    fflush(nil)
    while true { try await Task.sleep(for: .seconds(3600)) }
  }
}

extension Work {
  @Sendable fileprivate func serve(_ stream: ServerStream) async throws {
    switch self {
    case .chunks: try await Self.serveChunks(stream)
    case .bytes: try await Self.serveBytes(stream)
    case .echo: while let message = try await stream.next() { try await stream.send(message) }
    }
  }

  /// As a session's receiver does: nothing is taken whose checksums do not hold.
  private static func serveChunks(_ stream: ServerStream) async throws {
    var reader = ChunkReader()
    var (chunks, operations) = (0, 0)
    while let message = try await stream.next() {
      guard case .chunk(let chunk) = try SyncMessage(decoding: message) else {
        throw GRPCStatus(.invalidArgument, "not a chunk")
      }
      for run in try reader.receive(chunk) { operations += run.count }
      chunks += 1
      guard chunks % acknowledged == 0 || chunk.isLast else { continue }
      let ack = Ack(ordinal: reader.lastOrdinal, index: LogIndex(UInt64(chunks)), conflicts: 0)
      try await stream.send(SyncMessage.ack(ack).encode())
    }
    guard operations == Int(reader.lastOrdinal.rawValue) else {
      throw GRPCStatus(.internal, "\(operations) operations came, the last is \(reader.lastOrdinal.rawValue)")
    }
  }

  private static func serveBytes(_ stream: ServerStream) async throws {
    var messages: UInt64 = 0
    while let message = try await stream.next() {
      precondition(message.readableBytes > 0)
      messages += 1
      guard messages % UInt64(acknowledged) == 0 else { continue }
      try await stream.send(ByteBuffer(integer: messages))
    }
  }
}
