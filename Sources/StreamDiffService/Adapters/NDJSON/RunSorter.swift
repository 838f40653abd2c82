import Glibc
import StreamDiffCore

/// How much of a file of entries is in memory while it is sorted. Tests make it small.
package struct SortBounds: Sendable {
  /// Of keys and values that all sorters of one file hold before they sort and write: large enough that runs
  /// are few, and no more on a machine with many cores.
  package var heldBytes = 64 << 20
  /// A block of lines, and the longest line: a value of 1 MiB in which every byte is a `\u` escape fits.
  package var blockBytes = 8 << 20

  package init() {}
}

/// Collects entries in any order and writes them out as runs, each sorted and with one entry a key: the last.
/// Memory stays at `arenaBytes`, half as much that points into it, and one entry. For one thread.
struct RunSorter {
  /// Sorters of one file at most: beyond, each would hold too little.
  static let maximumSorters = 4

  private struct Reference {
    /// Eight bytes of the key behind what all keys begin with, big-endian: decides most comparisons.
    var prefix: UInt64 = 0
    let place: UInt64
    let start: Int
    let keyBytes: UInt32
    /// -1: a deletion.
    let valueBytes: Int32

    func key(in arena: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: arena[start..<start + Int(keyBytes)])
    }

    func value(in arena: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
      let first = start + Int(keyBytes)
      return valueBytes < 0 ? nil : UnsafeRawBufferPointer(rebasing: arena[first..<first + Int(valueBytes)])
    }
  }

  private(set) var runs: [Run] = []
  private var arena: [UInt8] = []
  private var references: [Reference] = []
  private let arenaBytes: Int
  /// As many small entries as weigh half of what they point to.
  private var maximumReferences: Int { arenaBytes / 64 }

  /// - Parameter sorters: how many share `bounds.heldBytes`.
  init(_ bounds: SortBounds, sharedBy sorters: Int = 2) { arenaBytes = bounds.heldBytes / sorters }

  /// - Parameters:
  ///   - place: greater than that of every entry with the same key added before.
  ///   - write: appends the key, then the value, and returns their lengths; nil for a deletion's value.
  ///     Returns nil for an entry that is not wanted after all.
  mutating func add<Failure: Error>(
    place: UInt64, _ write: (inout [UInt8]) throws(Failure) -> (keyBytes: Int, valueBytes: Int?)?
  ) throws(Failure) {
    if arena.isEmpty {
      // Room for all at once: growing would copy, and hold both copies meanwhile.
      arena.reserveCapacity(arenaBytes + Limits.keyBytes + Limits.valueBytes)
      references.reserveCapacity(maximumReferences)
    }
    let start = arena.count
    guard let (keyBytes, valueBytes) = try write(&arena) else {
      arena.removeSubrange(start...)
      return
    }
    references.append(
      Reference(
        place: place, start: start, keyBytes: UInt32(keyBytes), valueBytes: valueBytes.map { Int32($0) } ?? -1
      ))
  }

  var isFull: Bool { arena.count >= arenaBytes || references.count >= maximumReferences }

  /// Sorts what is held and writes it as a run. Does nothing when nothing is held.
  mutating func spill() throws(AdapterError) {
    guard !references.isEmpty else { return }
    var writer = SpillWriter(try SpillFile())
    let result = arena.withUnsafeBytes { arena -> Result<Void, AdapterError> in
      Self.sort(&references, in: arena)
      do throws(AdapterError) {
        return .success(try Self.write(references, in: arena, to: &writer))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
    runs.append(Run(spill: writer.spill, byteCount: writer.offset))
    arena.removeAll(keepingCapacity: true)
    references.removeAll(keepingCapacity: true)
  }

  private static func sort(_ references: inout [Reference], in arena: UnsafeRawBufferPointer) {
    let shared = sharedBytes(of: references, in: arena)
    for place in references.indices {
      let key = references[place].key(in: arena)
      references[place].prefix = (shared..<shared + 8).reduce(0) {
        $0 << 8 | ($1 < key.count ? UInt64(key[$1]) : 0)
      }
    }
    references.sort { lhs, rhs in
      if lhs.prefix != rhs.prefix { return lhs.prefix < rhs.prefix }
      let order = compare(lhs.key(in: arena), rhs.key(in: arena))
      return order == 0 ? lhs.place < rhs.place : order < 0
    }
  }

  /// How many bytes all keys begin with alike.
  private static func sharedBytes(of references: [Reference], in arena: UnsafeRawBufferPointer) -> Int {
    let first = references[0].key(in: arena)
    var shared = first.count
    for reference in references.dropFirst() {
      let key = reference.key(in: arena)
      shared = min(shared, key.count)
      while shared > 0, memcmp(first.baseAddress!, key.baseAddress!, shared) != 0 { shared -= 1 }
    }
    return shared
  }

  private static func write(
    _ references: [Reference], in arena: UnsafeRawBufferPointer, to writer: inout SpillWriter
  ) throws(AdapterError) {
    var hash = SHA256()
    for (place, reference) in references.enumerated() {
      let key = reference.key(in: arena)
      let isLast = place + 1 == references.count || compare(key, references[place + 1].key(in: arena)) != 0
      guard isLast else { continue }
      let value = reference.value(in: arena)
      let bytes = value ?? UnsafeRawBufferPointer(rebasing: arena[..<0])
      let digest = EntryDigest.of(key: key.bytes, value: bytes.bytes, using: &hash)
      let entry = RunEntry(key: key, value: value, place: reference.place, digest: digest)
      try writer.append { entry.append(to: &$0) }
    }
    try writer.flush()
  }
}
