/// The fingerprints of the entries under some parts, and where to find their keys again: keys
/// themselves are not kept, they may be long.
struct EntryAnswer: Sendable {
  let request: UInt64
  /// One per run of the request: entries found.
  private(set) var sizes: [UInt32]
  private(set) var fingerprints: [UInt64] = []
  /// The parts asked for, in key order, with the run that names each, and where its entries begin.
  private var parts: [(range: KeyRange, run: Int, start: Int)] = []
  private var current = 0

  init(request: UInt64, runs: [ArraySlice<MerkleTree.Part>]) {
    self.request = request
    sizes = Array(repeating: 0, count: runs.count)
    for (number, run) in runs.enumerated() {
      for part in run { parts.append((KeyRange(from: part.lower, to: part.upper), number, 0)) }
    }
  }

  /// What to read: neighbours as one range.
  var ranges: [KeyRange] { Self.joined(parts.map(\.range)) }

  /// Takes the next entry in key order.
  mutating func add(_ key: [UInt8], _ fingerprint: UInt64) {
    while current + 1 < parts.count, parts[current].range.ends(before: key) {
      current += 1
      parts[current].start = fingerprints.count
    }
    sizes[parts[current].run] += 1
    fingerprints.append(fingerprint)
  }

  /// What to read in order to see the entries at these places again.
  func ranges(holding runs: [Range<Int>]) -> [KeyRange] {
    var ranges: [KeyRange] = []
    var run = runs.startIndex
    for (index, part) in parts.prefix(current + 1).enumerated() {
      let end = index < current ? parts[index + 1].start : fingerprints.count
      while run < runs.endIndex, runs[run].upperBound <= part.start { run += 1 }
      guard run < runs.endIndex else { break }
      if part.start < end, runs[run].lowerBound < end { ranges.append(part.range) }
    }
    return Self.joined(ranges)
  }

  private static func joined(_ ranges: [KeyRange]) -> [KeyRange] {
    var joined: [KeyRange] = []
    for range in ranges {
      if let last = joined.last, last.upper == range.lower {
        joined[joined.count - 1].upper = range.upper
      } else {
        joined.append(range)
      }
    }
    return joined
  }
}

/// Keys that are wanted by fingerprint, on their way into messages.
struct KeyAnswer: Sendable {
  private let request: UInt64
  /// Fingerprint to the run of the request that names it.
  private var wanted: [UInt64: Int] = [:]
  private var sizes: [UInt32]
  private var found: [KeyDigest] = []
  private var foundBytes = 0

  init(request: UInt64, runs: Int) {
    self.request = request
    sizes = Array(repeating: 0, count: runs)
  }

  mutating func want(_ fingerprints: ArraySlice<UInt64>, run: Int) {
    for fingerprint in fingerprints { wanted[fingerprint] = run }
  }

  mutating func add(_ record: DigestRecord, _ fingerprint: UInt64) {
    guard let run = wanted.removeValue(forKey: fingerprint) else { return }
    sizes[run] += 1
    found.append(KeyDigest(key: record.key, digest: record.digest))
    foundBytes += record.key.count
  }

  var isFull: Bool { foundBytes >= SyncLimits.keyBytesPerMessage || found.count >= 4096 }

  mutating func takeMessage(isLast: Bool) -> Frontier {
    foundBytes = 0
    return Frontier(request: request, sizes: isLast ? sizes : [], keys: exchange(&found, with: []))
  }
}
