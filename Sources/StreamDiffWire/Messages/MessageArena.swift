import CStreamDiffProtos

/// The memory of one message while C takes it apart or Swift puts it together: a bump allocator that
/// starts on the stack, goes on in heap blocks up to a bound, and frees everything at once.
///
/// Each piece is preceded by its size in 8 bytes, so that a string which holds a NUL is read whole.
struct MessageArena {
  /// Enough on the stack for every unary message with a small value.
  private static let stackBytes = 2 << 10
  private static let blockBytes = 16 << 10
  private static let headerBytes = MemoryLayout<Int>.size

  private var next: UnsafeMutableRawPointer
  private var end: UnsafeMutableRawPointer
  /// Bytes that may still be asked of the heap.
  private var budget: Int
  /// The newest heap block; its first word links to the one before.
  private var blocks: UnsafeMutableRawPointer?
  /// Whether something was refused for lack of budget or memory.
  private(set) var isExhausted = false

  /// Lends an arena to `body`; what was allocated in it ends with the call.
  /// - Parameter heapBytes: the bound of what it takes beyond its first 2 KiB.
  static func lend<R>(heapBytes: Int, _ body: (inout MessageArena) -> R) -> R {
    withUnsafeTemporaryAllocation(byteCount: stackBytes, alignment: 16) { first in
      var arena = MessageArena(first: first, budget: heapBytes)
      defer { arena.freeBlocks() }
      return body(&arena)
    }
  }

  private init(first: UnsafeMutableRawBufferPointer, budget: Int) {
    next = first.baseAddress!
    end = next + first.count
    self.budget = budget
  }

  private func freeBlocks() {
    var block = blocks
    while let freed = block {
      block = freed.load(as: UnsafeMutableRawPointer?.self)
      freed.deallocate()
    }
  }

  /// - Returns: memory aligned to 8 bytes; `nil` when the bound is reached.
  mutating func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
    guard size <= budget || size <= end - next else { return refuse() }
    let needed = Self.headerBytes + (size + 7) & ~7
    if needed > end - next {
      let block = max(Self.headerBytes + needed, Self.blockBytes)
      guard block <= budget else { return refuse() }
      budget -= block
      let memory = UnsafeMutableRawPointer.allocate(byteCount: block, alignment: 16)
      memory.storeBytes(of: blocks, as: UnsafeMutableRawPointer?.self)
      blocks = memory
      next = memory + Self.headerBytes
      end = memory + block
    }
    next.storeBytes(of: size, as: Int.self)
    defer { next += needed }
    return next + Self.headerBytes
  }

  private mutating func refuse() -> UnsafeMutableRawPointer? {
    isExhausted = true
    return nil
  }

  /// Bytes asked for when `piece` was allocated.
  static func size(of piece: UnsafeRawPointer) -> Int {
    (piece - headerBytes).load(as: Int.self)
  }

  /// The arena as protobuf-c sees it. `free` does nothing: all pieces end together.
  mutating func withAllocator<R>(_ body: (UnsafeMutablePointer<ProtobufCAllocator>) -> R) -> R {
    withUnsafeMutablePointer(to: &self) { arena in
      var allocator = ProtobufCAllocator(
        alloc: { $0!.assumingMemoryBound(to: MessageArena.self).pointee.allocate($1) },
        free: { _, _ in },
        allocator_data: UnsafeMutableRawPointer(arena))
      return withUnsafeMutablePointer(to: &allocator, body)
    }
  }
}

// Putting a message together: these allocate without a bound (the caller's own values are bounded).
extension MessageArena {
  /// - Returns: room for `count` elements; `nil` for none, as protobuf-c has it.
  mutating func array<T>(of type: T.Type = T.self, count: Int) -> UnsafeMutablePointer<T>? {
    count == 0 ? nil : piece(count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: count)
  }

  mutating func array<T>(copying elements: [T]) -> UnsafeMutablePointer<T>? {
    let copy = array(of: T.self, count: elements.count)
    copy?.initialize(from: elements, count: elements.count)
    return copy
  }

  mutating func bytes(_ bytes: [UInt8]) -> ProtobufCBinaryData {
    ProtobufCBinaryData(len: bytes.count, data: array(copying: bytes))
  }

  /// What follows a NUL is lost: protobuf-c's strings end there.
  mutating func string(_ text: String) -> UnsafeMutablePointer<CChar> {
    var text = text
    return text.withUTF8 { utf8 in
      let copy = piece(utf8.count + 1)
      UnsafeMutableRawBufferPointer(start: copy, count: utf8.count).copyBytes(from: utf8)
      copy.storeBytes(of: 0, toByteOffset: utf8.count, as: UInt8.self)
      return copy.assumingMemoryBound(to: CChar.self)
    }
  }

  /// A message inside another: initialized by protobuf-c's `initialize`, then by `fill`.
  mutating func message<M>(
    _ initialize: (UnsafeMutablePointer<M>?) -> Void, _ fill: (inout M, inout MessageArena) -> Void
  ) -> UnsafeMutablePointer<M> {
    let message = piece(MemoryLayout<M>.size).bindMemory(to: M.self, capacity: 1)
    initialize(message)
    fill(&message.pointee, &self)
    return message
  }

  /// A repeated message field.
  mutating func messages<M, Element>(
    _ elements: [Element], _ initialize: (UnsafeMutablePointer<M>?) -> Void,
    _ fill: (inout M, Element, inout MessageArena) -> Void
  ) -> UnsafeMutablePointer<UnsafeMutablePointer<M>?>? {
    let pointers = array(of: UnsafeMutablePointer<M>?.self, count: elements.count)
    for (place, element) in elements.enumerated() {
      let message = message(initialize) { fill(&$0, element, &$1) }
      (pointers! + place).initialize(to: message)
    }
    return pointers
  }

  private mutating func piece(_ size: Int) -> UnsafeMutableRawPointer {
    guard let piece = allocate(size) else { preconditionFailure("no memory for \(size) bytes of a message") }
    return piece
  }
}
