import Glibc

/// A server for one connection at a time that says what it is told to: its first bytes at once, the others when a
/// request has come, so that they may speak of its stream.
final class HostileServer: Sendable {
  /// What a connection is answered with; then the server closes its side and reads until the client closes its own.
  struct Script: Sendable {
    var first: [UInt8]
    var afterRequest: [UInt8]
  }

  private static let seconds = 20
  private let listener: Int32
  let port: Int

  init() throws(LawBroken) {
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isListening = withUnsafeMutablePointer(to: &address) { [listener] in
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && listen(listener, 16) == 0
          && getsockname(listener, $0, &length) == 0
      }
    }
    port = Int(UInt16(bigEndian: address.sin_port))
    try require(isListening, "no port for the server: \(errno)")
  }

  deinit { close(listener) }

  /// Serves the next connection from beginning to end.
  func serve(_ script: Script) {
    let descriptor = accept(listener, nil, nil)
    guard descriptor >= 0 else { return }
    var limit = timeval(tv_sec: Self.seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    send(script.first, on: descriptor)
    var received: [UInt8] = []
    while !hasRequest(received), let more = receive(on: descriptor) { received += more }
    send(script.afterRequest, on: descriptor)
    shutdown(descriptor, Int32(SHUT_WR))
    while receive(on: descriptor) != nil {}
    Glibc.close(descriptor)
  }

  /// Whether a HEADERS frame has begun, behind the preface of 24 bytes.
  private func hasRequest(_ bytes: [UInt8]) -> Bool {
    Shape.frames.split(Array(bytes.dropFirst(24))).contains { $0.count > 9 && $0[3] == 1 }
  }

  private func send(_ bytes: [UInt8], on descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return }
      rest = rest.dropFirst(sent)
    }
  }

  private func receive(on descriptor: Int32) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    return count > 0 ? Array(buffer.prefix(count)) : nil
  }
}
