import StreamDiffWire
import Testing

@Suite("The embedded contract")
struct ReflectionCatalogTests {
  let catalog = ReflectionCatalog.embedded

  @Test("every service of Protos/ is known")
  func services() {
    #expect(
      catalog.services == [
        "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection", "streamdiff.v1.Group", "streamdiff.v1.KeyValue",
        "streamdiff.v1.StreamDiff", "streamdiff.v1.Tuning",
      ])
  }

  /// A FileDescriptorProto begins with field 1, the file's name.
  private func name(of descriptor: [UInt8]) -> String {
    String(decoding: descriptor[2..<2 + Int(descriptor[1])], as: UTF8.self)
  }

  @Test(
    "a symbol's file comes first, then what it imports",
    arguments: [
      ("streamdiff.v1.KeyValue", ["streamdiff/v1/keyvalue.proto", "streamdiff/v1/common.proto"]),
      ("streamdiff.v1.KeyValue.Get", ["streamdiff/v1/keyvalue.proto", "streamdiff/v1/common.proto"]),
      ("streamdiff.v1.PutRequest.condition", ["streamdiff/v1/keyvalue.proto", "streamdiff/v1/common.proto"]),
      ("streamdiff.v1.Expand.Mode", ["streamdiff/v1/streamdiff.proto", "streamdiff/v1/common.proto"]),
      ("streamdiff.v1.Expand.KEYS", ["streamdiff/v1/streamdiff.proto", "streamdiff/v1/common.proto"]),
      ("streamdiff.v1.KeyspaceKind", ["streamdiff/v1/common.proto"]),
      ("grpc.health.v1.HealthCheckResponse.SERVING", ["grpc/health/v1/health.proto"]),
    ])
  func symbols(symbol: String, files: [String]) throws {
    let found = try #require(catalog.files(containing: symbol))
    #expect(found.map(name) == files)
  }

  @Test("a question is answered, also when nothing is found")
  func answers() {
    func answer(_ query: ReflectionRequest.Query?) -> ReflectionResponse.Answer {
      catalog.answer(ReflectionRequest(host: "h", query: query), offering: ["a.B"]).answer
    }
    #expect(answer(.services) == .services(["a.B"]))
    #expect(
      answer(.file(named: "streamdiff/v1/common.proto"))
        == .files(catalog.files(named: "streamdiff/v1/common.proto")!))
    #expect(answer(.file(named: "x.proto")) == .error(code: 5, message: "no file x.proto"))
    #expect(answer(.fileContaining(symbol: "x")) == .error(code: 5, message: "no symbol x"))
    #expect(
      answer(.extensionNumbers(of: "streamdiff.v1.Hello")) == .extensionNumbers(of: "streamdiff.v1.Hello", [])
    )
    #expect(answer(nil) == .error(code: 3, message: "the request asks nothing"))
  }
}
