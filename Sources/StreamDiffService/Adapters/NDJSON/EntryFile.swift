import Glibc
import StreamDiffCore
import Synchronization

/// Reads a file of NDJSON into sorted runs: blocks of whole lines are handed to several threads, each of
/// which parses, sorts and spills on its own. Memory is bounded by `SortBounds.heldBytes` and a block for
/// each thread, whatever the file's size.
struct EntryFile {
  /// - Throws: `AdapterError` that names the line and column of what cannot be read; `.changed` when the
  ///   file did not hold still, although it was read a few times.
  static func read(
    _ path: String, excluding exclusions: Exclusions = .none, meter: ScanMeter, bounds: SortBounds
  ) async throws -> SortedEntries {
    for pause in Rereading.pauses {
      do {
        return try await readOnce(path, exclusions, meter, bounds)
      } catch let error as AdapterError where error.code == .changed {
        try await Task.sleep(for: pause)
      }
    }
    return try await readOnce(path, exclusions, meter, bounds)
  }

  private static func readOnce(
    _ path: String, _ exclusions: Exclusions, _ meter: ScanMeter, _ bounds: SortBounds
  ) async throws -> SortedEntries {
    let file = try open(path)
    let before = FileStamp(try file.status(path: path))
    let runs: [Run]
    do {
      runs = try await sortedRuns(file, path, before, exclusions, meter, bounds)
    } catch let error as AdapterError where error.code == .malformed || error.code == .tooLarge {
      // Half of a line that is being written is no mistake of who wrote it.
      guard before == FileStamp(try file.status(path: path)) else { throw changed(path) }
      throw error
    }
    guard before == FileStamp(try file.status(path: path)) else { throw changed(path) }
    return try await AdapterThreads.run { () throws(AdapterError) in try SortedEntries(merging: runs) }
  }

  private static func changed(_ path: String) -> AdapterError {
    AdapterError(.changed, path: path, "changed while it was read; try again when it rests")
  }

  private static func sortedRuns(
    _ file: OpenFile, _ path: String, _ before: FileStamp, _ exclusions: Exclusions, _ meter: ScanMeter,
    _ bounds: SortBounds
  ) async throws -> [Run] {
    meter.expect(before.size)
    let lines = LineBlocks(file, path: path, blockBytes: bounds.blockBytes)
    var runs: [Run] = []
    try await withThrowingTaskGroup(of: [Run].self) { group in
      let sorters = min(AdapterThreads.count, RunSorter.maximumSorters)
      for _ in 0..<sorters {
        group.addTask {
          try await AdapterThreads.run { () throws(AdapterError) in
            try sort(lines, RunSorter(bounds, sharedBy: sorters), exclusions, meter)
          }
        }
      }
      for try await some in group { runs += some }
    }
    return runs
  }

  private static func open(_ path: String) throws(AdapterError) -> OpenFile {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .system("open", path: path) }
    let file = OpenFile(owning: descriptor)
    guard try file.status(path: path).st_mode & S_IFMT == S_IFREG else {
      throw AdapterError(.malformed, path: path, "neither a directory nor a regular file")
    }
    return file
  }

  private static func sort(
    _ lines: LineBlocks, _ empty: RunSorter, _ exclusions: Exclusions, _ meter: ScanMeter
  ) throws(AdapterError) -> [Run] {
    var sorter = empty
    while let block = try lines.next() {
      let failure = block.bytes.withUnsafeBytes { bytes -> AdapterError? in
        do throws(AdapterError) {
          try parse(bytes, at: block.offset, lines, exclusions, into: &sorter)
          return nil
        } catch {
          return error
        }
      }
      if let failure {
        lines.stop()
        throw failure
      }
      meter.advance(UInt64(block.bytes.count))
    }
    try sorter.spill()
    return sorter.runs
  }

  private static func parse(
    _ block: UnsafeRawBufferPointer, at offset: UInt64, _ lines: LineBlocks, _ exclusions: Exclusions,
    into sorter: inout RunSorter
  ) throws(AdapterError) {
    var start = 0
    while start < block.count {
      let rest = UnsafeRawBufferPointer(rebasing: block[start...])
      let found = memchr(rest.baseAddress!, 0x0a, rest.count)
      let length = found.map { rest.baseAddress!.distance(to: UnsafeRawPointer($0)) } ?? rest.count
      let line = UnsafeRawBufferPointer(rebasing: rest[..<length])
      defer { start += length + 1 }
      // Lines of white space alone are passed over, as most tools do.
      if line.allSatisfy(JSONScanner.isSpace) { continue }
      let place = offset + UInt64(start) + 1
      do throws(EntryLine.Problem) {
        try sorter.add(place: place) { arena throws(EntryLine.Problem) in
          let start = arena.count
          let entry = try EntryLine(line, into: &arena)
          if !exclusions.isEmpty, exclusions.contains(arena[start..<start + entry.keyBytes]) { return nil }
          return (entry.keyBytes, entry.valueBytes)
        }
      } catch {
        let number = try lines.number(ofLineAt: place - 1)
        throw AdapterError(
          error.isTooLarge ? .tooLarge : .malformed, path: lines.path,
          "line \(number), column \(error.column): \(error.reason)")
      }
      if sorter.isFull { try sorter.spill() }
    }
  }
}

/// Hands out a file in blocks that end with a line.
final class LineBlocks: Sendable {
  let path: String
  private let file: OpenFile
  private let blockBytes: Int
  private let state = Mutex(State())

  private struct State {
    var offset: UInt64 = 0
    /// The start of a line that the last block did not end.
    var carried: [UInt8] = []
    var isDone = false
  }

  init(_ file: OpenFile, path: String, blockBytes: Int) {
    (self.file, self.path, self.blockBytes) = (file, path, blockBytes)
  }

  /// - Returns: whole lines and where the first begins; nil when there are no more.
  func next() throws(AdapterError) -> (bytes: [UInt8], offset: UInt64)? {
    try state.withLock { state throws(AdapterError) in
      guard !state.isDone else { return nil }
      let offset = state.offset - UInt64(state.carried.count)
      var bytes = state.carried
      let held = bytes.count
      bytes.append(contentsOf: repeatElement(0, count: blockBytes))
      let result = bytes.withUnsafeMutableBytes { room -> Result<Int, AdapterError> in
        do throws(AdapterError) {
          return .success(
            try file.read(
              into: UnsafeMutableRawBufferPointer(rebasing: room[held...]), at: state.offset, path: path))
        } catch {
          return .failure(error)
        }
      }
      let count = try result.get()
      bytes.removeLast(blockBytes - count)
      state.offset += UInt64(count)
      if count < blockBytes {
        (state.isDone, state.carried) = (true, [])
        return bytes.isEmpty ? nil : (bytes, offset)
      }
      guard let end = bytes.lastIndex(of: 0x0a) else {
        // Another thread would go on within the line, and complain of what it takes for lines.
        state.isDone = true
        let number = try self.number(ofLineAt: offset)
        throw AdapterError(.tooLarge, path: path, "line \(number) is longer than \(blockBytes) bytes")
      }
      state.carried = Array(bytes[(end + 1)...])
      bytes.removeSubrange((end + 1)...)
      return (bytes, offset)
    }
  }

  /// Ends the work of the other threads: one has failed.
  func stop() { state.withLock { $0.isDone = true } }

  /// For messages: reads the file again up to there. Lines count from 1.
  func number(ofLineAt offset: UInt64) throws(AdapterError) -> Int {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    var (place, lines): (UInt64, Int) = (0, 1)
    while place < offset {
      let room = UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(Int(clamping: offset - place)))
      let count = try file.read(into: room, at: place, path: path)
      guard count > 0 else { return lines }
      lines += room[..<count].count { $0 == 0x0a }
      place += UInt64(count)
    }
    return lines
  }
}
