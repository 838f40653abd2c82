import NIOCore
import StreamDiffWire

/// What serves a method.
public enum RPCHandler: Sendable {
  /// One message in, one out. Runs on the connection's event loop and must not block: it answers at
  /// once, or keeps the call and answers later from any thread.
  case unary(@Sendable (UnaryCall) -> Void)
  /// The same with an answer that may be long: of one connection, `RPCLimits.lookups` at a time.
  case lookup(@Sendable (UnaryCall) -> Void)
  /// Messages both ways, in a task of its own on the common pool. Returning ends the call with OK, a
  /// thrown `GRPCStatus` or `RPCError` with that status, anything else with UNKNOWN.
  case stream(@Sendable (ServerStream) async throws -> Void)
  /// The same in a task on the connection's event loop: messages change no thread, which halves what a
  /// stream costs. For handlers that never block, and compute for no more than a millisecond at a time.
  case loopStream(@Sendable (ServerStream) async throws -> Void)
}

/// Methods by path, `/package.Service/Method`.
public struct RPCRouter: Sendable {
  private var methods: [String: RPCHandler]

  public init(_ methods: [String: RPCHandler] = [:]) {
    for path in methods.keys { Self.check(path) }
    self.methods = methods
  }

  public mutating func register(_ path: String, _ handler: RPCHandler) {
    Self.check(path)
    precondition(methods.updateValue(handler, forKey: path) == nil, "\(path) is registered twice")
  }

  public mutating func merge(_ other: RPCRouter) {
    for (path, handler) in other.methods { register(path, handler) }
  }

  /// Full names of the services, sorted.
  public var services: [String] {
    Set(methods.keys.compactMap { $0.split(separator: "/").first.map(String.init) }).sorted()
  }

  subscript(path: String) -> RPCHandler? { methods[path] }

  private static func check(_ path: String) {
    precondition(
      path.hasPrefix("/") && path.split(separator: "/").count == 2,
      "\(path) is not /package.Service/Method")
  }
}
