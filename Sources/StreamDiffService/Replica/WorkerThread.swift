import CLinux
import Glibc

/// A thread that runs one function to its end, under a name that `top -H` shows.
final class WorkerThread: @unchecked Sendable {  // the handle is written once, before anybody else sees it
  private let handle: pthread_t

  /// What the new thread takes with it.
  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(_ name: String, _ body: @escaping @Sendable () -> Void) { (self.name, self.body) = (name, body) }
  }

  /// - Parameter name: at most 15 bytes, as the kernel wants it.
  init(_ name: String, _ body: @escaping @Sendable () -> Void) {
    precondition(name.utf8.count <= 15, "thread name \(name)")
    var thread = pthread_t()
    let start = Unmanaged.passRetained(Start(name, body))
    let result = pthread_create(
      &thread, nil,
      { argument in
        let start = Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
        _ = streamdiff_set_thread_name(start.name)
        start.body()
        return nil
      }, start.toOpaque())
    precondition(result == 0, "pthread_create for \(name) failed with \(result)")
    handle = thread
  }

  /// Waits for the end. Call it once.
  func join() { pthread_join(handle, nil) }
}
