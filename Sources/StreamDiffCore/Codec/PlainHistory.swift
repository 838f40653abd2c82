/// The last plain bytes of a stream of chunks, compressed or not. Both ends keep the same, and a new
/// frame starts with what its header names as prefix.
@safe struct PlainHistory: ~Copyable, @unchecked Sendable {  // one owner of both allocations
  /// The longest prefix.
  let capacity: Int
  /// A ring.
  private let memory: UnsafeMutableRawBufferPointer
  /// Where the next byte goes.
  private var end = 0
  /// Bytes that a prefix may have.
  private(set) var count = 0
  /// A frame refers to its prefix until it ends, while `memory` moves on. Most streams never need it.
  private var frozen: UnsafeMutableRawBufferPointer?

  init(capacity: Int) {
    self.capacity = capacity
    unsafe memory = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit {
    unsafe memory.deallocate()
    unsafe frozen?.deallocate()
  }

  mutating func append(_ bytes: RawSpan) {
    let new = bytes.extracting(last: capacity)
    let first = min(new.byteCount, capacity - end)
    unsafe new.withUnsafeBytes { new in
      unsafe UnsafeMutableRawBufferPointer(rebasing: memory[end...]).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: new[..<first]))
      unsafe memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: new[first...]))
    }
    end = (end + new.byteCount) % capacity
    count = min(count + new.byteCount, capacity)
  }

  /// The last `length` bytes, at most `count`, at an address that holds until the next call.
  mutating func freeze(_ length: Int) -> UnsafeRawBufferPointer {
    precondition(length <= count, "a prefix of \(length) bytes out of \(count)")
    guard length > 0 else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    let target =
      unsafe frozen ?? UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
    unsafe frozen = target
    unsafe copy(length, to: target)
    return unsafe UnsafeRawBufferPointer(rebasing: target[..<length])
  }

  /// The last bytes, at most `most` of them.
  func last(_ most: Int) -> [UInt8] {
    let length = min(most, count)
    return unsafe [UInt8](unsafeUninitializedCapacity: length) { target, written in
      unsafe copy(length, to: UnsafeMutableRawBufferPointer(target))
      written = length
    }
  }

  /// Of two parts where the run wraps.
  private func copy(_ length: Int, to target: UnsafeMutableRawBufferPointer) {
    let start = (end - length + capacity) % capacity
    let first = min(length, capacity - start)
    unsafe target.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<start + first]))
    unsafe UnsafeMutableRawBufferPointer(rebasing: target[first...]).copyMemory(
      from: UnsafeRawBufferPointer(rebasing: memory[..<(length - first)]))
  }
}
