import Foundation
import StreamDiffCore
import StreamDiffService

/// Foundation has an `Operation` too.
typealias KeyOperation = StreamDiffCore.Operation

/// A directory that is gone when its owner is.
final class ScratchDirectory: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "streamdiff-adapters-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    _ = try? FileManager.default.removeItem(atPath: path)
  }

  func sub(_ name: String) -> String { "\(path)/\(name)" }
}

/// Brings `sink` to what `source` holds by plain comparison of all their records: no session, no wire.
///
/// - Parameters:
///   - limit: operations after which it breaks off, as a lost connection would.
///   - deletionsLast: as a sender that guards deletions does.
/// - Returns: operations carried out.
@discardableResult
func carry(
  _ source: some SyncSource, into sink: some SyncSink, limit: Int = .max, deletionsLast: Bool = false
) async throws -> Int {
  let there = try records(of: try await sink.content())
  let here = try records(of: source)
  let old = Dictionary(uniqueKeysWithValues: there.map { ($0.key, $0.digest) })
  let new = Set(here.map(\.key))
  let puts = here.filter { old[$0.key] != $0.digest }.map(\.key)
  var operations: [KeyOperation] = []
  try source.readValues(of: puts) { place, value in
    operations.append(
      KeyOperation(key: puts[place], change: .put(value: value.withUnsafeBytes { Array($0) })))
  }
  let deletions = there.map(\.key).filter { !new.contains($0) }.map { KeyOperation(key: $0, change: .delete) }
  operations += deletions
  if !deletionsLast { operations.sort { $0.key.lexicographicallyPrecedes($1.key) } }
  operations = Array(operations.prefix(limit))
  try await apply(operations, to: sink)
  if limit == .max { _ = try await sink.seal() }
  return operations.count
}

/// Hands operations to a sink, a few to a run.
func apply(_ operations: [KeyOperation], to sink: some SyncSink) async throws {
  var next = 0
  while next < operations.count {
    let some = operations[next..<min(next + 7, operations.count)]
    let run = OperationRun(
      firstOrdinal: Ordinal(UInt64(next) + 1), operations: try EncodedOperations(Array(some)))
    try await sink.apply(run) { _ in }
    next += some.count
  }
}

func records(of content: any SyncContent) throws -> [DigestRecord] {
  var records: [DigestRecord] = []
  try content.readRecords(from: [], to: nil, limit: .max, into: &records)
  return records
}
