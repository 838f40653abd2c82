import NIOCore
import Simulator
import StreamDiffCore
import StreamDiffService
import StreamDiffStorage
import StreamDiffWire
import Testing

@Suite struct KeyValueTests {
  @Test("put, get and delete, each at an index that never falls")
  func roundTrip() async throws {
    try await withServer { _, client in
      #expect(try await client.get("key").value == nil)
      let put = try await client.put("key", "value")
      let got = try await client.get("key")
      #expect(got.value == Array("value".utf8))
      #expect(got.index >= put.index)
      #expect(got.kind == .plain)
      let deleted = try await client.delete("key")
      #expect(deleted.index > put.index)
      #expect(try await client.get("key").value == nil)
      try await client.delete("key")
    }
  }

  @Test("a keyspace that does not exist reads as empty")
  func absentKeyspace() async throws {
    try await withServer { _, client in
      let got = try await client.get("key", in: "nowhere")
      #expect(got.value == nil && got.kind == nil)
      let pages = try await client.scan(ScanRequest(keyspace: "nowhere"))
      #expect(pages.count == 1 && pages[0].entries.isEmpty && pages[0].kind == nil)
      #expect(try await client.status().keyspaces.isEmpty)
    }
  }

  @Test("an expectation that does not hold is ABORTED and changes nothing")
  func expectations() async throws {
    try await withServer { _, client in
      var hash = SHA256()
      let one = EntryDigest.of(key: Array("key".utf8), value: Array("1".utf8), using: &hash)
      try await client.put("key", "1", expecting: .absent)
      await expectStatus(.aborted) { try await client.put("key", "2", expecting: .absent) }
      #expect(try await client.get("key").value == Array("1".utf8))
      try await client.put("key", "2", expecting: .digest(one))
      await expectStatus(.aborted) { try await client.put("key", "3", expecting: .digest(one)) }
      await expectStatus(.aborted) { try await client.delete("key", expecting: .digest(one)) }
      #expect(try await client.get("key").value == Array("2".utf8))
    }
  }

  @Test("what is beyond a limit is INVALID_ARGUMENT and names the limit")
  func limits() async throws {
    try await withServer { _, client in
      let long = String(repeating: "k", count: Limits.keyBytes + 1)
      await expectStatus(.invalidArgument) { try await client.put("", "value") }
      await expectStatus(.invalidArgument) { try await client.put(long, "value") }
      await expectStatus(.invalidArgument) { try await client.get("") }
      await expectStatus(.invalidArgument) { try await client.get(long) }
      await expectStatus(.invalidArgument) { try await client.delete("") }
      await expectStatus(.invalidArgument) { try await client.put("key", "value", in: "no spaces") }
      let value = String(repeating: "v", count: Limits.valueBytes)
      try await client.put(String(long.dropLast()), value)
      do {
        try await client.put("key", value + "v")
        Issue.record("a value over the limit was taken")
      } catch let error as RPCError {
        #expect(error.status.code == .invalidArgument)
        #expect(error.status.message.contains("\(Limits.valueBytes)"))
      }
    }
  }

  @Test("a directory keyspace refuses plain puts")
  func directoryKeyspace() async throws {
    try await withServer { server, client in
      let name = try #require(KeyspaceName("files"))
      _ = try await server.replica.propose(.createKeyspace(name, .directory))
      await expectStatus(.failedPrecondition) { try await client.put("key", "value", in: "files") }
      #expect(try await client.get("key", in: "files").kind == .directory)
    }
  }

  @Test("bytes that are no message are INVALID_ARGUMENT, and Watch is not there yet")
  func foreign() async throws {
    try await withServer { _, client in
      for method in ["Get", "Put", "Delete"] {
        let code = await statusCode {
          try await client.unary("/streamdiff.v1.KeyValue/\(method)", .init(bytes: [0xff, 0xff, 0xff]))
        }
        #expect(code == .invalidArgument, "\(method)")
      }
      let watch = await statusCode { try await client.unary("/streamdiff.v1.KeyValue/Watch", .init()) }
      #expect(watch == .unimplemented)
    }
  }

  @Test("a scan pages through one view: keys rise, prefix, after and limit hold")
  func scan() async throws {
    try await withServer { _, client in
      for number in 0..<300 {
        try await client.put("a/\(number + 1000)", String(repeating: "v", count: 2000))
      }
      for number in 0..<10 { try await client.put("b/\(number)", "w") }

      let all = try await client.scan(ScanRequest())
      let keys = all.flatMap(\.entries).map { String(decoding: $0.key, as: UTF8.self) }
      #expect(keys.count == 310 && keys == keys.sorted())
      #expect(all.count > 2)
      let sizes = all.map { page in page.entries.reduce(0) { $0 + $1.key.count + $1.value.count } }
      #expect(sizes.max() ?? 0 <= 256 << 10)
      #expect(Set(all.map(\.index)).count == 1)

      func entries(_ request: ScanRequest) async throws -> [String] {
        try await client.scan(request).flatMap(\.entries).map { String(decoding: $0.key, as: UTF8.self) }
      }
      let b = (0..<10).map { "b/\($0)" }
      #expect(try await entries(ScanRequest(prefix: Array("b/".utf8))) == b)
      #expect(
        try await entries(ScanRequest(prefix: Array("b/".utf8), after: Array("b/7".utf8))) == ["b/8", "b/9"])
      #expect(
        try await entries(ScanRequest(prefix: Array("b/".utf8), after: Array("a".utf8), limit: 2)) == [
          "b/0", "b/1",
        ])
      #expect(try await entries(ScanRequest(prefix: Array("a/".utf8), after: Array("b".utf8))) == [])
      #expect(try await entries(ScanRequest(after: Array("b/8".utf8))) == ["b/9"])
      let keysOnly = try await client.scan(ScanRequest(prefix: Array("b/".utf8), keysOnly: true))
      let values = keysOnly.flatMap(\.entries).flatMap(\.value)
      #expect(values.isEmpty)
    }
  }

  @Test("status counts what was answered, and roots follow the content")
  func status() async throws {
    try await withServer { server, client in
      for number in 0..<20 { try await client.put("key \(number)", "value") }
      for number in 0..<7 { _ = try await client.get("key \(number)") }
      let status = try await client.status()
      #expect(status["requests_ok_put"] == 20)
      #expect(status["requests_ok_get"] == 7)
      #expect(status["operations_applied"] == 20)
      #expect(try #require(status["requests_ok"]) >= 27)
      #expect(status.role == "leader" && status.leader == status.nodeID && status.version == "test")
      #expect(status.members.map(\.address) == ["\(server.host):\(server.port)"])
      #expect(status.applied == status.commit)
      let keyspace = try #require(status.keyspaces.first)
      #expect(keyspace.name == "default" && keyspace.entries == 20 && keyspace.kind == .plain)

      let entries = (0..<20).map { (Array("key \($0)".utf8), Array("value".utf8)) }
      #expect(keyspace.root == MapContent(Dictionary(uniqueKeysWithValues: entries)).tree.root)
      let short: StatusResponse = try await client.call("Group/Status", StatusRequest(skipRoots: true))
      #expect(short.keyspaces.map(\.name) == ["default"] && short.keyspaces[0].root == nil)
    }
  }

  @Test("a replica that has failed says so: puts are UNAVAILABLE, health is NOT_SERVING")
  func failure() async throws {
    let disk = VirtualDisk()
    let result: (GRPCStatusCode?, GRPCStatusCode?, String, HealthCheckResponse)?
    result = try? await withServerThatFails(disk)
    let (put, get, role, health) = try #require(result)
    #expect(put == .unavailable && get == .unavailable && role == "failed")
    #expect(health.status == .notServing)
  }

  private func withServerThatFails(
    _ disk: VirtualDisk
  ) async throws -> (GRPCStatusCode?, GRPCStatusCode?, String, HealthCheckResponse) {
    var answer: (GRPCStatusCode?, GRPCStatusCode?, String, HealthCheckResponse)?
    // Stopping such a server throws the reason.
    try? await withServer {
      $0.replica.use(disk)
    } _: { _, client in
      try await client.put("key", "value")
      disk.fail(.sync(.logRecord))
      _ = await statusCode { try await client.put("key", "lost") }
      let put = await statusCode { try await client.put("key", "refused") }
      let get = await statusCode { try await client.get("key") }
      let role = try await client.status().role
      let health = try await client.unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest(service: "").encode())
      answer = (put, get, role, try HealthCheckResponse(decoding: health))
    }
    return try #require(answer)
  }
}
