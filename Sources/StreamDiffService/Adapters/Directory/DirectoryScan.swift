import NIOCore
import NIOPosix
import StreamDiffCore
import Synchronization

/// How far a scan is, for who watches it.
public final class ScanMeter: Sendable {
  private let total = Atomic<UInt64>(0)
  private let done = Atomic<UInt64>(0)

  public init() {}

  /// Bytes to read, known once the names are; bytes read.
  public var bytes: (done: UInt64, total: UInt64) {
    (done.load(ordering: .relaxed), total.load(ordering: .relaxed))
  }

  func expect(_ bytes: UInt64) { total.wrappingAdd(bytes, ordering: .relaxed) }
  func advance(_ bytes: UInt64) { done.wrappingAdd(bytes, ordering: .relaxed) }
}

/// Reads a whole tree: names first, then every file, several at a time.
struct DirectoryScan {
  let content: DirectoryContent
  let skipped: [[UInt8]]
  let unfinished: [[UInt8]]

  /// - Throws: `AdapterError` that names the first file that could not be read or did not hold still.
  static func run(
    _ path: String, excluding exclusions: Exclusions = .none, meter: ScanMeter
  ) async throws -> DirectoryScan {
    let walk = try await AdapterThreads.run {
      try DirectoryWalk(Beneath(opening: path), exclusions: exclusions)
    }
    let work = Work(walk.found, meter: meter)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<AdapterThreads.count {
        group.addTask { try await AdapterThreads.run { try work.readFiles(of: Beneath(opening: path)) } }
      }
      try await group.waitForAll()
    }
    let content = await AdapterThreads.run { DirectoryContent(work.entries()) }
    return DirectoryScan(content: content, skipped: walk.skipped, unfinished: walk.unfinished)
  }

  /// Files handed out to threads, largest first, so that no thread is left with a large one at the end.
  private final class Work: Sendable {
    private let found: [DirectoryWalk.Found]
    private let order: [Int]
    private let meter: ScanMeter
    private let next = Atomic<Int>(0)
    private let results: Mutex<[DirectoryEntry?]>

    init(_ found: [DirectoryWalk.Found], meter: ScanMeter) {
      self.found = found
      self.meter = meter
      order = found.indices.sorted { found[$0].bytes > found[$1].bytes }
      results = Mutex(Array(repeating: nil, count: found.count))
      meter.expect(found.reduce(0) { $0 + $1.bytes })
    }

    func readFiles(of tree: Beneath) throws(AdapterError) {
      var reader = FileReader(tree)
      do {
        while true {
          let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
          guard turn < order.count else { return }
          let place = order[turn]
          let entry = try Rereading.run { () throws(AdapterError) in try read(found[place], with: &reader) }
          results.withLock { $0[place] = entry }
          meter.advance(found[place].bytes)
        }
      } catch {
        next.store(order.count, ordering: .relaxed)  // nobody needs the rest
        throw error
      }
    }

    private func read(
      _ found: DirectoryWalk.Found, with reader: inout FileReader
    ) throws(AdapterError) -> DirectoryEntry {
      switch found.kind {
      case .file:
        let (mode, content) = try reader.read(found.path)
        return DirectoryEntry(path: found.path, mode: mode, content: .file(content))
      case .directory: return DirectoryEntry(path: found.path, mode: found.mode, content: .directory)
      case .link:
        let target = try reader.target(of: found.path)
        return DirectoryEntry(path: found.path, mode: found.mode, content: .link(target: target))
      }
    }

    func entries() -> [DirectoryEntry] {
      results.withLock { entries in
        entries.indices.map { place in
          guard let entry = entries[place] else { preconditionFailure("entry \(place) was not read") }
          return entry
        }
      }
    }
  }
}

extension DirectoryWalk.Found {
  fileprivate var bytes: UInt64 {
    if case .file(let size) = kind { size } else { 0 }
  }
}

/// Where adapters block: NIO's pool of threads for that, one to a core.
enum AdapterThreads {
  static var count: Int { System.coreCount }

  private static let running = Atomic<Int>(0)
  /// Files of this process are being read or written.
  static var isBusy: Bool { running.load(ordering: .relaxed) > 0 }

  static func run<Value: Sendable, Failure: Error>(
    _ body: @escaping @Sendable () throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    running.add(1, ordering: .relaxed)
    defer { running.subtract(1, ordering: .relaxed) }
    let outcome: Result<Value, Failure>
    do {
      outcome = try await NIOThreadPool.singleton.runIfActive {
        do throws(Failure) { return .success(try body()) } catch { return .failure(error) }
      }
    } catch {
      // The shared pool is never shut down; a cancelled task may be refused its turn: it takes it here.
      return try body()
    }
    return try outcome.get()
  }
}
