import CLinklab
import Glibc

/// The control socket's server side: one line asks, one line answers, and the connection is over.
struct ControlServer {
  private static let mostPeers = 8
  private static let longestLine = 1024

  let listener: Int32
  private var peers: [Int32: [UInt8]] = [:]

  init(listener: Int32) { self.listener = listener }

  /// - Returns: a new peer to watch. One too many is turned away.
  mutating func accept() -> Int32? {
    let peer = linklab_accept(listener)
    guard peer >= 0 else { return nil }
    guard peers.count < Self.mostPeers else {
      close(peer)
      return nil
    }
    peers[peer] = []
    return peer
  }

  /// Reads what `peer` sent; a whole line is answered. Answers fit a socket's buffer.
  mutating func serve(_ peer: Int32, _ answer: (String) -> String) {
    guard var line = peers[peer] else { return }
    var bytes = [UInt8](repeating: 0, count: Self.longestLine)
    let count = read(peer, &bytes, bytes.count)
    if count < 0, errno == EAGAIN { return }
    line += bytes[..<max(0, count)]
    guard let end = line.firstIndex(of: 0x0a) else {
      if count > 0, line.count < Self.longestLine { peers[peer] = line } else { drop(peer) }
      return
    }
    let reply = Array((answer(String(decoding: line[..<end], as: UTF8.self)) + "\n").utf8)
    _ = write(peer, reply, reply.count)
    drop(peer)
  }

  private mutating func drop(_ peer: Int32) {
    peers[peer] = nil
    close(peer)
  }
}
