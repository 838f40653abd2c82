import Glibc
import Synchronization
import UnixSignals

/// SIGINT and SIGTERM while a command works.
enum Interruption {
  /// Runs `body`. A signal meanwhile runs `cleanUp` and ends the program as that signal does, so that a shell
  /// sees why it ended.
  static func guarding<Value>(
    _ cleanUp: @escaping @Sendable () async -> Void, during body: () async throws -> Value
  ) async throws -> Value {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    let state = State()
    let watcher = Task {
      for await signal in signals {
        state.isEnding.store(true, ordering: .relaxed)
        await cleanUp()
        Output.complain("interrupted")
        let number = signal == .sigint ? SIGINT : SIGTERM
        Glibc.signal(number, SIG_DFL)
        kill(getpid(), number)
      }
    }
    let result: Result<Value, any Error>
    do { result = .success(try await body()) } catch { result = .failure(error) }
    // What fails because of the cleaning up is no news: the signal ends the program.
    if state.isEnding.load(ordering: .relaxed) { await watcher.value }
    watcher.cancel()
    return try result.get()
  }

  private final class State: Sendable {
    let isEnding = Atomic<Bool>(false)
  }
}
