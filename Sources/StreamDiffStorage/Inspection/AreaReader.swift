/// Walks one area of a keyspace and goes on behind blocks that cannot be read. Each failure is added to
/// the findings once, with the file and offset that RocksDB names.
final class AreaReader {
  enum Place {
    case record
    /// Nothing follows in this area.
    case end
    /// What follows cannot be read; `seek` may find something behind it.
    case failed
  }

  private(set) var place = Place.end
  private let iterator: any EngineIterator
  private let area: StoreKey.Area
  private let keyspace: UInt32
  private let findings: Findings
  private var buffer: StoreKeyBuffer

  init(_ reads: any EngineReads, _ area: StoreKey.Area, _ keyspace: UInt32, findings: Findings) {
    iterator = reads.iterator()
    (self.area, self.keyspace, self.findings) = (area, keyspace, findings)
    buffer = StoreKeyBuffer(area, keyspace)
  }

  /// Of the record; void after the next move.
  var key: UnsafeRawBufferPointer {
    guard place == .record, let key = iterator.key.withinArea(area, keyspace) else {
      preconditionFailure("no record here")
    }
    return key
  }

  /// As `key`.
  var value: UnsafeRawBufferPointer { iterator.value }

  func seek(_ key: [UInt8]) {
    key.withBytes { buffer.with($0) { iterator.seek($0) } }
    settle()
  }

  func next() {
    iterator.next()
    settle()
  }

  private func settle() {
    if iterator.isValid {
      place = iterator.key.withinArea(area, keyspace) == nil ? .end : .record
      return
    }
    do throws(StorageError) {
      try iterator.check()
      place = .end
    } catch {
      findings.addOnce(error.located)
      place = .failed
    }
  }
}

extension StorageError {
  /// RocksDB names the file and the offset of a bad block in its message.
  var located: StorageError {
    guard let path, let start = detail.firstRange(of: " in " + path + "/")?.lowerBound else { return self }
    let words = detail[start...].split(separator: " ").dropFirst()
    guard let file = words.first else { return self }
    let place = words.dropFirst()
    let offset = place.first == "offset" ? place.dropFirst().first.flatMap { UInt64($0) } : nil
    return StorageError(code, path: String(file), offset: offset, detail)
  }
}

extension String {
  fileprivate func firstRange(of text: String) -> Range<Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      start = index(after: start)
    }
    return nil
  }
}
