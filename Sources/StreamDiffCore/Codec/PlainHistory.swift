/// The last plain bytes of a stream of chunks, compressed or not. Both ends keep the same, and a new
/// frame starts with what its header names as prefix.
@safe struct PlainHistory: ~Copyable, @unchecked Sendable {  // one owner of both allocations
  /// The longest prefix: what a window of 1 MiB still sees halfway through.
  static let capacity = 512 << 10

  /// Twice the capacity, so that bytes are moved down once in a while and not for each chunk.
  private let memory: UnsafeMutableRawBufferPointer
  private var end = 0
  /// A frame refers to its prefix until it ends, while `memory` moves on.
  private let frozen: UnsafeMutableRawBufferPointer

  init() {
    unsafe memory = .allocate(byteCount: 2 * Self.capacity, alignment: 16)
    unsafe frozen = .allocate(byteCount: Self.capacity, alignment: 16)
  }

  deinit {
    unsafe memory.deallocate()
    unsafe frozen.deallocate()
  }

  /// Bytes that a prefix may have.
  var count: Int { min(end, Self.capacity) }

  mutating func append(_ bytes: RawSpan) {
    let new = bytes.extracting(last: Self.capacity)
    if unsafe end + new.byteCount > memory.count {
      let kept = min(end, Self.capacity - new.byteCount)
      unsafe memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[(end - kept)..<end]))
      end = kept
    }
    unsafe new.withUnsafeBytes {
      unsafe UnsafeMutableRawBufferPointer(rebasing: memory[end...]).copyMemory(from: $0)
    }
    end += new.byteCount
  }

  /// The last `length` bytes, at most `count`, at an address that holds until the next call.
  func freeze(_ length: Int) -> UnsafeRawBufferPointer {
    precondition(length <= count, "a prefix of \(length) bytes out of \(count)")
    unsafe frozen.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[(end - length)..<end]))
    return unsafe UnsafeRawBufferPointer(rebasing: frozen[..<length])
  }
}
