import StreamDiffCore
import StreamDiffService

extension EntryPoints {
  /// What Service parses by itself: the first bytes of a connection, and what the command line is given.
  static let service = [preface, serverAddress]

  static let preface = EntryPoint(
    "preface", maximumBytes: 64,
    dictionary: ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET ", "OPTIONS "].map { Array($0.utf8) },
    seeds: {
      ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\n", "\u{16}\u{3}\u{1}"].map { Array($0.utf8) }
    }
  ) { input, seen in
    var whole = PrefaceCheck()
    let verdict = whole.receive(input)
    seen.note("\(verdict)")
    var bytewise = PrefaceCheck()
    var last = PrefaceCheck.Verdict.needsMore
    for byte in input {
      let now = bytewise.receive([byte])
      try require(last == .needsMore || now == last, "a verdict changes from \(last) to \(now)")
      last = now
    }
    try require(last == verdict || input.isEmpty, "\(verdict) at once, \(last) byte by byte")
    if verdict == .http2 { try require(input.starts(with: "PRI * HTTP/2.0".utf8), "no preface is one") }
  }

  static let serverAddress = EntryPoint(
    "server-address", maximumBytes: 200,
    dictionary: ["::1", "[", "]", ":", "65535", "65536"].map { Array($0.utf8) },
    seeds: {
      ["127.0.0.1:7400", "localhost", "[::1]:0", "[::1]", "::1", "a.org:1"].map { Array($0.utf8) }
    }
  ) { input, seen in
    guard let address = ServerAddress(String(decoding: input, as: UTF8.self)) else {
      return seen.note("none")
    }
    seen.note(address.isLoopback ? "loopback" : "beyond")
    try require(0...65535 ~= address.port, "port \(address.port)")
    try require(ServerAddress(address.description) == address, "\(address) is another when read again")
  }
}
