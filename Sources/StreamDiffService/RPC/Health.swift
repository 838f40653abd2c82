import NIOCore
import StreamDiffWire
import Synchronization

/// `grpc.health.v1.Health`: whether the server, and each of its services, can be used.
public final class HealthService: Sendable {
  private struct State {
    var statuses: [String: HealthCheckResponse.ServingStatus]
    var watchers: [UInt64: AsyncStream<HealthCheckResponse.ServingStatus>.Continuation] = [:]
    var watched: [UInt64: String] = [:]
    var lastWatcher: UInt64 = 0
  }

  private let state: Mutex<State>

  /// - Parameter services: full names; each serves, and so does the server as a whole (""), until told
  ///   otherwise.
  public init(services: [String]) {
    state = Mutex(State(statuses: Dictionary(uniqueKeysWithValues: ([""] + services).map { ($0, .serving) })))
  }

  /// - Parameter service: `nil` changes all of them.
  public func set(_ service: String? = nil, isServing: Bool) {
    let status: HealthCheckResponse.ServingStatus = isServing ? .serving : .notServing
    state.withLock { state in
      for name in service.map({ [$0] }) ?? Array(state.statuses.keys) {
        state.statuses[name] = status
        for (watcher, watched) in state.watched where watched == name {
          state.watchers[watcher]?.yield(status)
        }
      }
    }
  }

  public var router: RPCRouter {
    RPCRouter([
      "/grpc.health.v1.Health/Check": .unary { self.check($0) },
      "/grpc.health.v1.Health/Watch": .loopStream { try await self.watch($0) },
    ])
  }

  private func check(_ call: UnaryCall) {
    do throws(WireError) {
      let service = try HealthCheckRequest(decoding: call.request).service
      guard let status = state.withLock({ $0.statuses[service] }) else {
        return call.fail(GRPCStatus(.notFound, "no service \(service)"))
      }
      call.respond(HealthCheckResponse(status: status).encode())
    } catch {
      call.fail(GRPCStatus(error))
    }
  }

  /// Answers with the status now and after each change, until the client goes.
  private func watch(_ call: ServerStream) async throws {
    guard let request = try await call.next() else {
      throw GRPCStatus(.invalidArgument, "Watch takes one message")
    }
    let service: String
    do throws(WireError) {
      service = try HealthCheckRequest(decoding: request).service
    } catch {
      throw GRPCStatus(error)
    }
    let (changes, watcher) = begin(service)
    defer { end(watcher) }
    var last: HealthCheckResponse.ServingStatus?
    for await status in changes where status != last {
      try await call.send(HealthCheckResponse(status: status).encode())
      last = status
    }
    throw CancellationError()
  }

  /// A slow watcher keeps the newest status only.
  private func begin(_ service: String) -> (AsyncStream<HealthCheckResponse.ServingStatus>, UInt64) {
    let (changes, continuation) = AsyncStream.makeStream(
      of: HealthCheckResponse.ServingStatus.self, bufferingPolicy: .bufferingNewest(1))
    let watcher = state.withLock { state in
      state.lastWatcher += 1
      state.watchers[state.lastWatcher] = continuation
      state.watched[state.lastWatcher] = service
      continuation.yield(state.statuses[service] ?? .serviceUnknown)
      return state.lastWatcher
    }
    return (changes, watcher)
  }

  private func end(_ watcher: UInt64) {
    state.withLock { state in
      state.watchers[watcher] = nil
      state.watched[watcher] = nil
    }
  }
}
