import StreamDiffService
import StreamDiffWire
import Testing

/// The code of the status that `body` fails with; `nil` when it does not.
func statusCode<R>(_ body: () async throws -> R) async -> GRPCStatusCode? {
  do {
    _ = try await body()
    return nil
  } catch let error as RPCError {
    return error.status.code
  } catch {
    return .unknown
  }
}

/// Apart from the tests: a closure within `#expect` may be mistaken for another of the same function.
func expectStatus<R>(
  _ code: GRPCStatusCode?, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> R
) async {
  let found = await statusCode(body)
  #expect(found == code, sourceLocation: sourceLocation)
}

/// The same for errors: `body` must throw a `Failure`.
@discardableResult
func expectFailure<Failure: Error, R>(
  _ type: Failure.Type, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> R
) async -> Failure? {
  do {
    _ = try await body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as Failure {
    return error
  } catch {
    Issue.record("\(error) was thrown, not a \(type)", sourceLocation: sourceLocation)
  }
  return nil
}
