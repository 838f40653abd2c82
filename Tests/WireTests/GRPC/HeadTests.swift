import NIOCore
import StreamDiffWire
import Testing

@Suite struct HeadTests {
  private func request(_ change: (inout [HeaderField]) -> Void) -> [HeaderField] {
    var fields = GRPCRequestHead(path: "/a.B/C", authority: "host:1").fields
    change(&fields)
    return fields
  }

  private func replacing(_ name: String, _ value: String) -> [HeaderField] {
    request { fields in
      fields.removeAll { $0.name == name }
      fields.append(HeaderField(name, value))
    }
  }

  @Test("A request head survives the wire")
  func requestRoundTrip() throws {
    var metadata = Metadata()
    try metadata.add("x-id", "17")
    try metadata.add("x-id", "18")
    try metadata.add("trace-bin", binary: [0, 255, 1])
    let head = GRPCRequestHead(
      path: "/a.B/C", authority: "h", timeout: .milliseconds(1_500), metadata: metadata)
    let read = try GRPCRequestHead(head.fields)
    #expect(read == head)
    #expect(read.metadata.all("x-id") == ["17", "18"] && read.metadata.binary("trace-bin") == [0, 255, 1])
  }

  @Test(
    "Content types of gRPC are taken, others are answered 415",
    arguments: [
      ("application/grpc", true), ("application/grpc+proto", true), ("application/grpc;charset=utf-8", true),
      ("application/grpc-web", false), ("application/grpc-web+proto", false), ("application/json", false),
      ("application/grp", false), ("", false),
    ])
  func contentTypes(type: String, isTaken: Bool) {
    let fields = replacing("content-type", type)
    if isTaken {
      #expect(throws: Never.self) { try GRPCRequestHead(fields) }
    } else {
      #expect { try GRPCRequestHead(fields) } throws: { error in
        (error as? GRPCRejection)?.fields[first: ":status"] == "415"
      }
    }
  }

  @Test(
    "What cannot be a call is answered in the way a client understands",
    arguments: [
      (":method", "GET", "405", "2"), ("grpc-encoding", "gzip", "200", "12"),
      ("grpc-timeout", "soon", "200", "13"),
    ])
  func rejections(name: String, value: String, status: String, code: String) {
    #expect { try GRPCRequestHead(replacing(name, value)) } throws: { error in
      guard let fields = (error as? GRPCRejection)?.fields else { return false }
      return fields[first: ":status"] == status && fields[first: "grpc-status"] == code
        && (code != "12" || fields[first: "grpc-accept-encoding"] == "identity")
    }
  }

  @Test("Identity encoding and missing te are fine")
  func lenient() throws {
    #expect(throws: Never.self) { try GRPCRequestHead(replacing("grpc-encoding", "identity")) }
    #expect(throws: Never.self) { try GRPCRequestHead(request { $0.removeAll { $0.name == "te" } }) }
  }

  @Test(
    "Timeouts are read as the specification says",
    arguments: [
      ("1H", .seconds(3_600)), ("2M", .seconds(120)), ("3S", .seconds(3)), ("4m", .milliseconds(4)),
      ("5u", .microseconds(5)), ("6n", .nanoseconds(6)), ("99999999H", .seconds(3_600 * 99_999_999)),
      ("", nil),
      ("S", nil), ("1", nil), ("123456789S", nil), ("-1S", nil), ("+1S", nil), ("1.5S", nil), ("1s", nil),
      ("٣S", nil),
    ] as [(String, Duration?)])
  func timeouts(text: String, expected: Duration?) {
    #expect(GRPCTimeout.parse(text) == expected)
  }

  @Test("A timeout sent is at least the one asked for, and hardly longer", arguments: 0..<500)
  func timeoutRoundTrip(seed: Int) throws {
    var random = Seeded(UInt64(seed))
    let scale = UInt64.random(in: 0...60, using: &random)
    let timeout = Duration.nanoseconds(Int64((random.next() >> (63 - scale)) >> 1))
    let text = GRPCTimeout.format(timeout)
    let read = try #require(GRPCTimeout.parse(text), "\(text)")
    #expect(read >= timeout && text.utf8.count <= 9)
    #expect(
      read <= .nanoseconds(1) || read - timeout <= timeout / 1_600 + .nanoseconds(1), "\(timeout) \(text)")
  }

  @Test(
    "Timeouts at the edges",
    arguments: [
      (.zero, "1n"), (.seconds(-5), "1n"), (.nanoseconds(99_999_999), "99999999n"),
      (.milliseconds(100), "100000u"),
      (.seconds(10), "10000000u"), (.seconds(100), "100000m"),
      (Duration(secondsComponent: 0, attosecondsComponent: 1), "1n"),
      (.seconds(100_000), "100000S"), (.seconds(Int64.max), "99999999H"),
    ] as [(Duration, String)])
  func timeoutEdges(timeout: Duration, text: String) {
    #expect(GRPCTimeout.format(timeout) == text)
  }

  @Test(
    "Status messages survive the wire",
    arguments: [
      "", "plain", "café", "100 %", "a%41", "line\nbreak", " edges ", "日本語", "\u{0}", "🙂 twice 🙂", "%%%",
      "tab\there",
    ])
  func messages(text: String) {
    let fields = GRPCResponse.trailers(GRPCStatus(.aborted, text))
    let sent = fields[first: "grpc-message"] ?? ""
    #expect(
      sent.utf8.allSatisfy { (0x20...0x7E).contains($0) } && !sent.hasPrefix(" ") && !sent.hasSuffix(" "))
    #expect(GRPCTrailers(fields).status == GRPCStatus(.aborted, text))
  }

  @Test(
    "A percent sign that starts nothing stays",
    arguments: [("50%", "50%"), ("%zz", "%zz"), ("%4", "%4"), ("%41%", "A%")])
  func strayPercent(sent: String, read: String) {
    let fields = [HeaderField("grpc-status", "5"), HeaderField("grpc-message", sent)]
    #expect(GRPCTrailers(fields).status == GRPCStatus(.notFound, read))
  }

  @Test("An endless message is cut to what every client takes")
  func longMessage() {
    let fields = GRPCResponse.trailers(GRPCStatus(.internal, String(repeating: "é ", count: 10_000)))
    let sent = fields[first: "grpc-message"] ?? ""
    #expect(sent.utf8.count <= 4_096 && sent.utf8.count > 4_000 && !sent.hasSuffix(" "))
    #expect(GRPCTrailers(fields).status.message.hasPrefix("é é é"))
  }

  @Test(
    "Answers that are not gRPC's become a status",
    arguments: [
      ("400", .internal), ("401", .unauthenticated), ("403", .permissionDenied), ("404", .unimplemented),
      ("429", .unavailable), ("431", .unknown), ("503", .unavailable), ("500", .unknown),
    ] as [(String, GRPCStatusCode)])
  func httpStatuses(status: String, code: GRPCStatusCode) {
    guard case .ended(let ended, _) = GRPCResponseHead([HeaderField(":status", status)]) else {
      return #expect(Bool(false))
    }
    #expect(ended.code == code)
  }

  @Test("Response heads are told from trailers-only answers and from other protocols")
  func responseHeads() throws {
    var metadata = Metadata()
    try metadata.add("streamdiff-leader", "host:7400")
    #expect(
      GRPCResponseHead(GRPCResponse.head(metadata)) == .head(Metadata(fields: GRPCResponse.head(metadata))))
    let status = GRPCStatus(.failedPrecondition, "not the leader")
    guard case .ended(status, let found) = GRPCResponseHead(GRPCResponse.trailersOnly(status, metadata))
    else {
      return #expect(Bool(false))
    }
    #expect(found["streamdiff-leader"] == "host:7400")
    let html = [HeaderField(":status", "200"), HeaderField("content-type", "text/html")]
    guard case .ended(let ended, _) = GRPCResponseHead(html) else { return #expect(Bool(false)) }
    #expect(ended.code == .unknown)
  }

  @Test("Trailers without a known status are UNKNOWN", arguments: [nil, "17", "x", "-1"])
  func unknownStatus(text: String?) {
    #expect(GRPCTrailers(text.map { [HeaderField("grpc-status", $0)] } ?? []).status.code == .unknown)
  }

  @Test(
    "Names and values that metadata cannot carry are refused",
    arguments: [
      ("", "v"), ("Upper", "v"), ("with space", "v"), (":path", "v"), ("grpc-status", "1"), ("te", "x"),
      ("content-type", "x"), ("x-bin", "v"), ("x", "é"), ("x", "a\nb"), ("x", "\u{7F}"),
    ])
  func badMetadata(name: String, value: String) {
    var metadata = Metadata()
    #expect { try metadata.add(name, value) } throws: { ($0 as? WireError)?.code == .malformed }
    #expect(metadata.isEmpty)
  }

  @Test("Spaces around a value do not travel")
  func trimmed() throws {
    var metadata = Metadata()
    try metadata.add("x", "  a b ")
    #expect(metadata["x"] == "a b")
  }

  @Test(
    "Binary metadata is taken padded and unpadded, and bad base64 is nothing",
    arguments: [
      ("", []), ("AA", [0]), ("AA==", [0]), ("AAE", [0, 1]), ("AAE=", [0, 1]), ("/+8", [255, 239]),
      ("AAEC", [0, 1, 2]),
      ("AAEC,AAE", [0, 1, 2]), ("A", nil), ("A===", nil), ("AA=", nil), ("A*BC", nil), ("é", nil),
    ] as [(String, [UInt8]?)])
  func base64(text: String, bytes: [UInt8]?) {
    #expect(Metadata(fields: [HeaderField("x-bin", text)]).binary("x-bin") == bytes)
  }

  @Test("Bytes survive as metadata", arguments: 0..<50)
  func base64RoundTrip(count: Int) throws {
    var random = Seeded(UInt64(count))
    let bytes = Array(random.bytes(count).readableBytesView)
    var metadata = Metadata()
    try metadata.add("x-bin", binary: bytes)
    #expect(metadata.binary("x-bin") == bytes && metadata["x-bin"]?.contains("=") == false)
  }

  @Test("Every code has its number and name")
  func codes() {
    #expect(GRPCStatusCode.allCases.map(\.rawValue) == Array(0...16))
    #expect(Set(GRPCStatusCode.allCases.map(\.description)).count == 17)
  }
}
