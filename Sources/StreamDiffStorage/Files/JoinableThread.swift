import Glibc

/// A thread that runs one function and is waited for. For work that blocks on the disk.
final class JoinableThread: Sendable {
  private let handle: pthread_t

  /// - Returns: `nil` when the system has no thread to give.
  init?(_ body: @escaping @Sendable () -> Void) {
    final class Box {
      let body: @Sendable () -> Void
      init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body))
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { argument in
        if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
        return nil
      }, box.toOpaque())
    guard status == 0 else {
      box.release()
      return nil
    }
    handle = thread
  }

  /// Waits for the end. Call exactly once.
  func join() { pthread_join(handle, nil) }
}
