import StreamDiffCore

/// What a record of the log holds: one group commit, written by one call and made durable by one sync.
///
/// ```text
/// record:  body length u32 | number of items u32 | items, laid end to end
/// item:    kind u8 | …
///   1 entry        index u64 | term u64 | payload length u32 | payload
///   2 hard state   term u64 | vote u64 | commit u64
///   3 truncation   first index removed u64 | term of the entry before it u64
///   4 seal         generation of the segment that follows u64; the last item of a segment
///   5 header       magic u64 | format u32 | sectors in the file u32 | first index u64
///                  | term of the entry before it u64; the first item of a segment, in record 0
/// ```
///
/// All integers are little-endian. A record starts in a sector of its own and fills the payloads of
/// as many neighbouring sectors as it needs; what is left of the last is zero.
enum RecordItem: Hashable {
  case entry(index: LogIndex, term: Term, payload: Range<Int>)
  case hardState(HardState)
  case truncation(from: LogIndex, previousTerm: Term)
  case seal(next: UInt64)
  case header(SegmentHeader)

  static let recordHeadBytes = 8
  static let entryHeadBytes = 21
  static let hardStateBytes = 25
  static let truncationBytes = 17
}

/// What a segment says of itself, in record 0.
struct SegmentHeader: Hashable {
  static let magic: UInt64 = 0x3130_474f_4c46_4453  // "SDFLOG01"
  static let format: UInt32 = 1

  /// Size of the file.
  var sectors: UInt32
  /// Index of the entry that comes next when the segment begins.
  var firstIndex: LogIndex
  /// Term of the entry before `firstIndex`.
  var previousTerm: Term
}

/// Reads the items of one record's body.
struct RecordParser {
  private let body: UnsafeRawBufferPointer
  private var position = 0
  private var remaining: UInt32

  init(_ body: UnsafeRawBufferPointer, items: UInt32) {
    self.body = body
    remaining = items
  }

  /// - Returns: `nil` at the end of the record. Throws when the bytes are no items: a fault of the
  ///   writer, since their checksums held.
  mutating func next() throws(Malformed) -> RecordItem? {
    guard remaining > 0 else {
      guard position == body.count else { throw Malformed() }
      return nil
    }
    remaining -= 1
    switch try integer(UInt8.self) {
    case 1:
      let index = try index()
      let term = try term()
      let length = Int(try integer(UInt32.self))
      guard length <= body.count - position else { throw Malformed() }
      defer { position += length }
      return .entry(index: index, term: term, payload: position..<position + length)
    case 2:
      let term = try term()
      let vote = NodeID(try integer())
      return .hardState(HardState(term: term, vote: vote, commit: LogIndex(try integer())))
    case 3:
      let from = try index()
      return .truncation(from: from, previousTerm: try term())
    case 4: return .seal(next: try integer())
    case 5: return try header()
    default: throw Malformed()
    }
  }

  private mutating func header() throws(Malformed) -> RecordItem {
    guard try integer(UInt64.self) == SegmentHeader.magic else { throw Malformed() }
    let format = try integer(UInt32.self)
    guard format == SegmentHeader.format else { throw Malformed(newerFormat: format) }
    let sectors = try integer(UInt32.self)
    let first = try index()
    return .header(
      SegmentHeader(sectors: sectors, firstIndex: first, previousTerm: try term()))
  }

  private mutating func index() throws(Malformed) -> LogIndex {
    let index = LogIndex(try integer())
    guard index > .zero, index <= .maximum else { throw Malformed() }
    return index
  }

  private mutating func term() throws(Malformed) -> Term {
    let term = Term(try integer())
    guard term <= .maximum else { throw Malformed() }
    return term
  }

  private mutating func integer<T: FixedWidthInteger>(_ type: T.Type = UInt64.self) throws(Malformed) -> T {
    guard MemoryLayout<T>.size <= body.count - position else { throw Malformed() }
    defer { position += MemoryLayout<T>.size }
    return T(littleEndian: body.loadUnaligned(fromByteOffset: position, as: T.self))
  }

  struct Malformed: Error {
    var newerFormat: UInt32?
  }
}
