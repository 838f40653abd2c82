import NIOCore
import StreamDiffCore
import StreamDiffWire

extension EntryPoints {
  /// What Wire parses above HTTP/2: every message, and the head and trailer fields of gRPC.
  static let wire = [
    messages("sync-messages", MessageSamples.sync), messages("keyvalue-messages", MessageSamples.keyValue),
    messages("group-messages", MessageSamples.group), messages("tuning-messages", MessageSamples.tuning),
    messages("reflection-messages", MessageSamples.reflection),
    deframer, grpcHead, grpcAnswer,
  ]

  // MARK: Messages

  /// Bytes as a message of each kind among `samples`.
  private static func messages(_ name: String, _ samples: [any WireMessage]) -> EntryPoint {
    let kinds = samples.reduce(into: [any WireMessage]()) { kinds, sample in
      if !kinds.contains(where: { type(of: $0) == type(of: sample) }) { kinds.append(sample) }
    }
    return EntryPoint(
      name, shape: .protobuf,
      seeds: { samples.map { Array(buffer: $0.encode()) }.filter { $0.count <= 4096 } }
    ) { input, seen in
      for kind in kinds { try decode(input, as: kind, &seen) }
    }
  }

  private static func decode<M: WireMessage>(_ input: [UInt8], as: M, _ seen: inout Observation)
    throws(LawBroken)
  {
    let message: M
    do throws(WireError) {
      message = try M(decoding: ByteBuffer(bytes: input))
    } catch {
      try require([.malformed, .tooLarge, .unsupported].contains(error.code), "\(M.self): \(error)")
      return seen.note(error.detail)
    }
    let again = message.encode()
    seen.note(count: again.readableBytes)
    // What protobuf-c's strings lose behind a NUL is gone after the first time.
    guard let once = try? M(decoding: again), let twice = try? M(decoding: once.encode()) else {
      throw LawBroken("\(M.self) cannot be read again: \(message)")
    }
    try require(twice == once, "\(M.self) changes when it is encoded")
    try require(once == message || input.contains(0), "\(M.self) is another when it comes back")
  }

  /// A stream's payload in pieces, through the deframer into messages of a session.
  static let deframer = EntryPoint(
    "deframer", shape: .messages,
    seeds: {
      let some = MessageSamples.sync.map { Shape.messages.part(Array(buffer: $0.encode())) }.filter {
        $0.count < 1000
      }
      return some + [Array(some.joined().prefix(4000))]
    }
  ) { input, seen in
    let limit = 2048
    var deframer = MessageDeframer(limit: limit)
    var (messages, taken, credit) = (0, 0, 0)
    // How the pieces fall is part of the input: its own bytes decide.
    var rest = input[...]
    while !rest.isEmpty {
      let count = min(rest.count, 1 + Int(rest[rest.startIndex]) * 3)
      deframer.append(ByteBuffer(bytes: rest.prefix(count)))
      rest = rest.dropFirst(count)
      while let message = try deframer.next() {
        messages += 1
        taken += message.readableBytes + MessagePrefix.size
        try require(message.readableBytes <= limit, "a message of \(message.readableBytes) bytes")
        try require(taken <= input.count - rest.count, "messages have more bytes than arrived")
        deframer.release(messageBytes: message.readableBytes)
        seen.note((try? SyncMessage(decoding: message)) == nil ? "other" : "message")
      }
      credit += deframer.takeCredit()
      try require(
        credit <= input.count - rest.count, "\(credit) bytes of credit for \(input.count - rest.count)")
    }
    try require(deframer.isMidMessage == (taken < input.count), "the end of a message is missed")
    seen.note(count: messages)
  }

  // MARK: gRPC's fields

  /// Lines `name: value` as a header section.
  private static func fields(_ input: [UInt8]) -> [HeaderField] {
    Shape.lines.split(input).map { line in
      let text = String(decoding: line.last == 0x0a ? line.dropLast() : line[...], as: UTF8.self)
      let colon = text.dropFirst().firstIndex(of: ":") ?? text.endIndex
      return HeaderField(String(text[..<colon]), String(text[colon...].dropFirst().drop { $0 == " " }))
    }
  }

  private static let words = [
    ":method: POST", "grpc-timeout: ", "99999999H", "1n", "0", "grpc-status: ", "grpc-message: ", "%C3%A9",
    "%", "%%", "%0", "x-bin: ", "YWJj", "==", "application/grpc", "+proto", ";", "grpc-encoding: gzip",
    "identity", ":status: 200", ":status: 503", "é", "\n", "a-bin: ",
  ].map { Array($0.utf8) }

  static let grpcHead = EntryPoint(
    "grpc-head", shape: .lines, dictionary: words,
    seeds: {
      [
        ":method: POST\n:scheme: http\n:path: /a.B/C\n:authority: h:1\ncontent-type: application/grpc\nte: trailers\n",
        ":method: POST\n:path: /a.B/C\ncontent-type: application/grpc+proto\ngrpc-timeout: 100m\nx-bin: AAEC\n",
        ":method: GET\n:path: /\n", ":method: POST\ncontent-type: application/grpc\ngrpc-encoding: gzip\n",
        ":method: POST\ncontent-type: application/grpc;x=1\ngrpc-timeout: 99999999H\nname: value\n",
      ].map { Array($0.utf8) }
    }
  ) { input, seen in
    do {
      let head = try GRPCRequestHead(fields(input))
      seen.note("call")
      seen.note(count: head.metadata.fields.count)
      if let timeout = head.timeout {
        // Rounded up to what eight digits hold, and then for ever the same.
        let once = GRPCTimeout.parse(GRPCTimeout.format(timeout))
        try require(
          once.map { $0 >= timeout } ?? false, "timeout \(timeout) comes back as \(once, default: "none")")
        try require(
          once.map { GRPCTimeout.parse(GRPCTimeout.format($0)) } == once, "timeout \(timeout) changes")
      }
      for field in head.metadata.fields where field.name.hasSuffix("-bin") {
        guard let bytes = head.metadata.binary(field.name) else { continue }
        // Of fields with one name the first speaks.
        let text = head.metadata[field.name] ?? ""
        try require(bytes.count <= text.utf8.count, "base64 of \(text.utf8.count) bytes gave \(bytes.count)")
        seen.note(count: bytes.count)
      }
    } catch let rejection as GRPCRejection {
      seen.note(rejection.fields.map(\.value).joined())
    }
  }

  static let grpcAnswer = EntryPoint(
    "grpc-answer", shape: .lines, dictionary: words,
    seeds: {
      [
        ":status: 200\ncontent-type: application/grpc\ngrpc-accept-encoding: identity\n",
        "grpc-status: 0\n", "grpc-status: 13\ngrpc-message: caf%C3%A9 100%25\nx-bin: AAEC\n",
        ":status: 503\ncontent-type: text/html\n", ":status: 200\ngrpc-status: 5\ngrpc-message: no\n",
      ].map { Array($0.utf8) }
    }
  ) { input, seen in
    let fields = fields(input)
    switch GRPCResponseHead(fields) {
    case .head(let metadata): seen.note(count: metadata.fields.count)
    case .ended(let status, _): seen.note("\(status.code)")
    }
    let status = GRPCTrailers(fields).status
    seen.note("\(status.code)")
    // What a server would say again arrives as it is, unless it is too long.
    let again = GRPCTrailers(GRPCResponse.trailers(status)).status
    try require(again.code == status.code, "status \(status.code) becomes \(again.code)")
    try require(again.message.utf8.count <= status.message.utf8.count, "a status message grew")
    try require(
      again == status || status.message.utf8.count > 1000,
      "\"\(status.message)\" becomes \"\(again.message)\"")
  }
}

extension [UInt8] {
  init(buffer: ByteBuffer) { self.init(buffer.readableBytesView) }
}
