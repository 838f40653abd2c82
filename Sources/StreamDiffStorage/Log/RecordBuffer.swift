import StreamDiffCore

/// Gathers the items of one record, already cut into sectors, so that one write sends it to disk.
struct RecordBuffer: ~Copyable {
  private let base: UnsafeMutableRawPointer
  private let capacity: Int
  /// Payload bytes gathered, the record's head included.
  private var used = RecordItem.recordHeadBytes
  private var items: UInt32 = 0

  /// - Parameter bodyBytes: the most that one record's items may take.
  init(bodyBytes: Int) {
    // A record starts anywhere in a page and its write ends with a page: one page more than it fills.
    capacity = Self.sectors(forBody: bodyBytes) + Sector.perPage
    base = .allocate(byteCount: capacity * Sector.bytes, alignment: Sector.perPage * Sector.bytes)
  }

  deinit { base.deallocate() }

  var isEmpty: Bool { items == 0 }
  var bodyBytes: Int { used - RecordItem.recordHeadBytes }
  /// Sectors that the record fills.
  var sectors: Int { Self.sectors(forBody: bodyBytes) }

  static func sectors(forBody bytes: Int) -> Int {
    (bytes + RecordItem.recordHeadBytes + Sector.payloadBytes - 1) / Sector.payloadBytes
  }

  mutating func append(_ entry: LogEntry) {
    append(UInt8(1))
    append(entry.index.rawValue)
    append(entry.term.rawValue)
    append(UInt32(entry.payload.count))
    entry.payload.withUnsafeBytes { append($0) }
    items += 1
  }

  mutating func append(_ state: HardState) {
    append(UInt8(2))
    append(state.term.rawValue)
    append(state.vote.rawValue)
    append(state.commit.rawValue)
    items += 1
  }

  mutating func append(truncationFrom index: LogIndex, previousTerm: Term) {
    append(UInt8(3))
    append(index.rawValue)
    append(previousTerm.rawValue)
    items += 1
  }

  mutating func append(sealBefore next: UInt64) {
    append(UInt8(4))
    append(next)
    items += 1
  }

  mutating func append(_ header: SegmentHeader) {
    append(UInt8(5))
    append(SegmentHeader.magic)
    append(SegmentHeader.format)
    append(header.sectors)
    append(header.firstIndex.rawValue)
    append(header.previousTerm.rawValue)
    items += 1
  }

  /// Completes the record for its place and lends the bytes to write there: its sectors, and zeros
  /// up to the end of the page. The buffer is empty afterwards.
  mutating func finish<R>(
    at first: UInt32, generation: UInt64, record: UInt32,
    _ write: (UnsafeRawBufferPointer) throws(StorageError) -> R
  ) throws(StorageError) -> R {
    let filled = sectors
    let page = Sector.perPage
    let end = (Int(first) + filled + page - 1) / page * page
    let written = end - Int(first)
    // Zero what follows the last item: the rest of its sector, and of the page.
    let tail = place(of: used)
    (base + tail).initializeMemory(as: UInt8.self, repeating: 0, count: written * Sector.bytes - tail)
    base.storeBytes(of: UInt32(bodyBytes).littleEndian, as: UInt32.self)
    base.storeBytes(of: items.littleEndian, toByteOffset: 4, as: UInt32.self)
    for index in 0..<filled {
      Sector.stamp(
        base + index * Sector.bytes, number: first + UInt32(index), generation: generation, record: record)
    }
    clear()
    return try write(UnsafeRawBufferPointer(start: base, count: written * Sector.bytes))
  }

  mutating func clear() {
    used = RecordItem.recordHeadBytes
    items = 0
  }

  /// Where the payload byte `offset` lies in the buffer.
  private func place(of offset: Int) -> Int {
    offset / Sector.payloadBytes * Sector.bytes + offset % Sector.payloadBytes
  }

  private mutating func append(_ integer: some FixedWidthInteger) {
    withUnsafeBytes(of: integer.littleEndian) { append($0) }
  }

  private mutating func append(_ bytes: UnsafeRawBufferPointer) {
    var left = bytes
    while let source = left.baseAddress, left.count > 0 {
      let count = min(left.count, Sector.payloadBytes - used % Sector.payloadBytes)
      precondition(used / Sector.payloadBytes < capacity, "a record outgrew its \(capacity) sectors")
      (base + place(of: used)).copyMemory(from: source, byteCount: count)
      used += count
      left = UnsafeRawBufferPointer(rebasing: left[count...])
    }
  }
}
