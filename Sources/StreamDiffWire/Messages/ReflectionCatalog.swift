import CStreamDiffProtos

/// The contract as reflection serves it: the files of Protos/, embedded in the program.
public struct ReflectionCatalog: Sendable {
  public static let embedded = ReflectionCatalog()

  private struct File {
    var name: String
    var descriptor: [UInt8]
    var dependencies: [String]
  }

  /// Full names of every service that Protos/ declares, sorted.
  public let services: [String]
  private let files: [String: File]
  /// Full name of anything declared → name of its file.
  private let declarations: [String: String]

  private init() {
    var services: [String] = []
    var files: [String: File] = [:]
    var declarations: [String: String] = [:]
    for place in 0..<c_streamdiff_file_descriptor_count() {
      let embedded = c_streamdiff_file_descriptor(place)!.pointee
      let name = String(cString: embedded.name)
      files[name] = File(
        name: name,
        descriptor: Array(UnsafeBufferPointer(start: embedded.bytes, count: embedded.byte_count)),
        dependencies: Self.lines(embedded.dependencies))
      services += Self.lines(embedded.services)
      for symbol in Self.lines(embedded.symbols) { declarations[symbol] = name }
    }
    (self.services, self.files, self.declarations) = (services.sorted(), files, declarations)
  }

  private static func lines(_ text: UnsafePointer<CChar>) -> [String] {
    String(cString: text).split(separator: "\n").map(String.init)
  }

  /// - Returns: the serialized descriptor of the file, then those of all it imports, each once; `nil`
  ///   when there is no such file.
  public func files(named name: String) -> [[UInt8]]? {
    guard files[name] != nil else { return nil }
    var order = [name]
    var place = 0
    while place < order.count {
      for dependency in files[order[place]]?.dependencies ?? [] where !order.contains(dependency) {
        order.append(dependency)
      }
      place += 1
    }
    return order.compactMap { files[$0]?.descriptor }
  }

  /// - Parameter symbol: the full name of a service, method, message, field, oneof, enum or enum value.
  /// - Returns: as `files(named:)`.
  public func files(containing symbol: String) -> [[UInt8]]? {
    declarations[symbol].flatMap(files(named:))
  }

  /// Answers a question as gRPC's reflection protocol has it: what is not found is an error answer
  /// (NOT_FOUND, 5), and the stream goes on.
  /// - Parameter offered: the services to list; those that the server really has.
  public func answer(_ request: ReflectionRequest, offering offered: [String]) -> ReflectionResponse {
    func notFound(_ what: String) -> ReflectionResponse.Answer { .error(code: 5, message: "no \(what)") }
    let answer: ReflectionResponse.Answer =
      switch request.query {
      case .file(let name): files(named: name).map { .files($0) } ?? notFound("file \(name)")
      case .fileContaining(let symbol):
        files(containing: symbol).map { .files($0) } ?? notFound("symbol \(symbol)")
      case .fileContainingExtension(let type, let number): notFound("extension \(number) of \(type)")
      case .extensionNumbers(let type):
        declarations[type] == nil ? notFound("type \(type)") : .extensionNumbers(of: type, [])
      case .services: .services(offered)
      case nil: .error(code: 3, message: "the request asks nothing")
      }
    return ReflectionResponse(to: request, answer)
  }
}
