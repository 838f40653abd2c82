import Glibc
import StreamDiffCore

/// An entry of a run: a spill file whose entries are in key order.
///
///     key length u32 | value length u32, or 2^32 - 1 for a deletion | place u64 | entry digest | key | value
///
/// Integers are little-endian. Of two entries with one key, that with the greater place is the later one.
struct RunEntry {
  static let headBytes = 16 + Digest.byteCount
  static let maximumBytes = headBytes + Limits.keyBytes + Limits.valueBytes
  private static let deletion = UInt32.max

  let key: UnsafeRawBufferPointer
  /// nil: the key is deleted.
  let value: UnsafeRawBufferPointer?
  let place: UInt64
  let digest: Digest

  init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer?, place: UInt64, digest: Digest) {
    (self.key, self.value, self.place, self.digest) = (key, value, place, digest)
  }

  /// Borrows the entry that begins `bytes`; nil when the bytes end within it.
  init?(reading bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.headBytes else { return nil }
    let keyBytes = Int(UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self)))
    let valueLength = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    let valueBytes = valueLength == Self.deletion ? 0 : Int(valueLength)
    guard bytes.count >= Self.headBytes + keyBytes + valueBytes else { return nil }
    place = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    digest = Digest(copying: UnsafeRawBufferPointer(rebasing: bytes[16..<Self.headBytes]).bytes)
    key = UnsafeRawBufferPointer(rebasing: bytes[Self.headBytes...].prefix(keyBytes))
    value =
      valueLength == Self.deletion
      ? nil : UnsafeRawBufferPointer(rebasing: bytes[(Self.headBytes + keyBytes)...].prefix(valueBytes))
  }

  var byteCount: Int { Self.headBytes + key.count + (value?.count ?? 0) }

  func append(to bytes: inout [UInt8]) {
    StreamDiffService.append(UInt32(key.count), to: &bytes)
    StreamDiffService.append(value.map { UInt32($0.count) } ?? Self.deletion, to: &bytes)
    StreamDiffService.append(place, to: &bytes)
    digest.append(to: &bytes)
    bytes.append(contentsOf: key)
    if let value { bytes.append(contentsOf: value) }
  }
}

/// Bytewise order of borrowed keys: negative, 0 or positive.
@inline(__always)
func compare(_ lhs: UnsafeRawBufferPointer, _ rhs: UnsafeRawBufferPointer) -> Int {
  let common = min(lhs.count, rhs.count)
  let order = common == 0 ? 0 : Int(memcmp(lhs.baseAddress!, rhs.baseAddress!, common))
  return order == 0 ? lhs.count - rhs.count : order
}

/// A run, and where it ends.
struct Run: Sendable {
  let spill: SpillFile
  let byteCount: UInt64
}

/// Reads a run from front to back.
final class RunCursor {
  private static let stepBytes = 256 << 10

  private let run: Run
  private var buffer: UnsafeMutableRawBufferPointer
  private var held: Range<Int> = 0..<0
  private var offset: UInt64 = 0

  /// The entry it stands at, until it moves; nil behind the last.
  private(set) var entry: RunEntry?

  init(_ run: Run) throws(AdapterError) {
    self.run = run
    buffer = .allocate(byteCount: Self.stepBytes, alignment: 16)
    try load()
  }

  deinit { buffer.deallocate() }

  func advance() throws(AdapterError) {
    guard let entry else { return }
    held = held.lowerBound + entry.byteCount..<held.upperBound
    try load()
  }

  private func load() throws(AdapterError) {
    while true {
      entry = RunEntry(reading: UnsafeRawBufferPointer(rebasing: buffer[held]))
      if entry != nil || (offset == run.byteCount && held.isEmpty) { return }
      guard offset < run.byteCount else {
        throw AdapterError(.changed, path: run.spill.path, "a sort file ends within an entry")
      }
      if held.count == buffer.count {
        // One entry is larger than the buffer.
        let larger = UnsafeMutableRawBufferPointer.allocate(
          byteCount: Self.stepBytes + RunEntry.maximumBytes, alignment: 16)
        larger.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[held]))
        buffer.deallocate()
        buffer = larger
      } else {
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[held]))
      }
      held = 0..<held.count
      let room = UnsafeMutableRawBufferPointer(
        rebasing: buffer[held.upperBound...].prefix(Int(clamping: run.byteCount - offset)))
      let count = try run.spill.file.read(into: room, at: offset, path: run.spill.path)
      offset += UInt64(count)
      guard count == room.count else {
        throw AdapterError(.changed, path: run.spill.path, "a sort file was cut short")
      }
      held = 0..<held.count + count
    }
  }
}
