import Glibc
import UnixSignals

/// SIGINT and SIGTERM while a command works.
enum Interruption {
  /// Runs `body`. A signal meanwhile runs `cleanUp` and ends the program as that signal does, so that a shell
  /// sees why it ended.
  static func guarding<Value>(
    _ cleanUp: @escaping @Sendable () async -> Void, during body: () async throws -> Value
  ) async rethrows -> Value {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let watcher = Task {
      for await signal in signals {
        await cleanUp()
        Output.complain("interrupted")
        let number = signal == .sigint ? SIGINT : SIGTERM
        Glibc.signal(number, SIG_DFL)
        kill(getpid(), number)
      }
    }
    defer { watcher.cancel() }
    return try await body()
  }
}
