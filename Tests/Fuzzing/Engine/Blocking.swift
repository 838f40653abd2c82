import Foundation
import Glibc
import Synchronization

/// Runs asynchronous work on the thread that waits for it: an execution begins and ends there, whatever other
/// threads are busy with.
final class Blocking: TaskExecutor {
  private struct State {
    var jobs: [UnownedJob] = []
    var isDone = false
  }

  private let condition = NSCondition()
  private let state = Mutex(State())

  static func run<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
    let executor = Blocking()
    let outcome = Mutex<Result<Value, any Error>?>(nil)
    Task(executorPreference: executor) {
      let result: Result<Value, any Error>
      do { result = .success(try await body()) } catch { result = .failure(error) }
      outcome.withLock { $0 = result }
      executor.change { $0.isDone = true }
    }
    executor.runUntilDone()
    guard let result = outcome.withLock({ $0 }) else { preconditionFailure("the work is done") }
    return try result.get()
  }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    change { $0.jobs.append(job) }
  }

  private func change(_ body: (inout State) -> Void) {
    condition.lock()
    state.withLock { body(&$0) }
    condition.signal()
    condition.unlock()
  }

  private func runUntilDone() {
    while true {
      condition.lock()
      var (jobs, isDone) = take()
      while jobs.isEmpty, !isDone {
        condition.wait()
        (jobs, isDone) = take()
      }
      condition.unlock()
      for job in jobs { job.runSynchronously(on: asUnownedTaskExecutor()) }
      if jobs.isEmpty { return }
    }
  }

  private func take() -> ([UnownedJob], isDone: Bool) {
    state.withLock { state in
      defer { state.jobs = [] }
      return (state.jobs, state.isDone)
    }
  }
}

/// A directory in memory, gone with its owner.
final class ScratchDirectory: Sendable {
  let path: String

  init() throws {
    var template = Array("/dev/shm/streamdiff-fuzz-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw LawBroken("no directory in /dev/shm: \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Files as they are, in whole.
enum Disk {
  static func write(_ bytes: [UInt8], to path: String) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    precondition(descriptor >= 0, "\(path) cannot be written: \(errno)")
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      precondition(count > 0, "\(path) cannot be written: \(errno)")
      rest = rest.dropFirst(count)
    }
    close(descriptor)
  }

  /// Everything beneath a directory by its path there: a file's content, a link's target, nothing for a directory.
  static func content(of directory: String) -> [String: [UInt8]] {
    var content: [String: [UInt8]] = [:]
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
      let path = "\(directory)/\(name)"
      var status = stat()
      guard lstat(path, &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFDIR:
        content["\(name)/"] = []
        for (inner, bytes) in self.content(of: path) { content["\(name)/\(inner)"] = bytes }
      case S_IFLNK:
        content["\(name)@"] = (try? FileManager.default.destinationOfSymbolicLink(atPath: path)).map {
          Array($0.utf8)
        }
      default: content[name] = read(path)
      }
    }
    return content
  }

  static func read(_ path: String) -> [UInt8]? {
    FileManager.default.contents(atPath: path).map { Array($0) }
  }
}
