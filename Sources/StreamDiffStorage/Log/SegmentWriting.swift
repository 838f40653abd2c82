import StreamDiffCore

extension SegmentFile {
  /// Makes a file part of the log: header, sync, rename, directory. Only a whole header ever gets the name.
  static func activate(
    _ path: String, generation: UInt64, header: SegmentHeader, state: HardState, in directory: String,
    of fileSystem: any FileSystem, buffer: inout RecordBuffer
  ) throws(StorageError) -> SegmentFile {
    let file = try fileSystem.open(path, .write)
    buffer.append(header)
    buffer.append(state)
    try buffer.finish(at: 0, generation: generation, record: 0) { (bytes) throws(StorageError) in
      try file.write(bytes, at: 0, .logSegmentHeaderWrite)
    }
    try file.sync(.logSegmentHeader)
    let name = directory + "/" + name(of: generation)
    try fileSystem.rename(path, to: name, .logSegmentAppear)
    try fileSystem.syncDirectory(directory, .logSegmentAppeared)
    // Open it by the name that its errors are to show.
    return SegmentFile(file: try fileSystem.open(name, .write), generation: generation, header: header)
  }

  /// Ends a segment whose successor is durable: from now on a missing successor is damage.
  static func seal(
    _ segment: SegmentFile, at place: RecordPlace, next: UInt64, buffer: inout RecordBuffer
  ) throws(StorageError) {
    buffer.append(sealBefore: next)
    try buffer.finish(at: place.sector, generation: segment.generation, record: place.number) {
      (bytes) throws(StorageError) in
      try segment.file.write(
        bytes, at: UInt64(place.sector) * UInt64(Sector.bytes), .logSegmentSealWrite)
    }
    try segment.file.sync(.logSegmentSeal)
  }

  /// Writes a record again as it stands, and zeros behind it. Durable after a sync.
  func rewrite(
    _ record: RecordPlace?, from end: UInt32, zeros: UInt32, scratch: ScratchBuffer
  ) throws(StorageError) {
    let start = record?.sector ?? end
    let kept = Int(record?.sectors ?? 0) * Sector.bytes
    let bytes = scratch.bytes(kept + Int(zeros) * Sector.bytes)
    guard !bytes.isEmpty else { return }
    let offset = UInt64(start) * UInt64(Sector.bytes)
    let found = UnsafeMutableRawBufferPointer(rebasing: bytes[..<kept])
    guard try file.read(into: found, at: offset) == kept else {
      throw damaged(start, "file ends within its last record")
    }
    UnsafeMutableRawBufferPointer(rebasing: bytes[kept...]).initializeMemory(as: UInt8.self, repeating: 0)
    try file.write(UnsafeRawBufferPointer(bytes), at: offset, .recoveredSegmentWrite)
  }

  /// Reads and checks one record, and lends its items.
  func forEachItem(
    of place: RecordPlace, scratch: ScratchBuffer,
    _ visit: (_ item: RecordItem, _ body: UnsafeRawBufferPointer) throws(StorageError) -> Void
  ) throws(StorageError) {
    try readRecord(place, scratch: scratch) { (body, items) throws(StorageError) in
      var parser = RecordParser(body, items: items)
      while true {
        let item: RecordItem?
        do { item = try parser.next() } catch {
          throw damaged(place.sector, "record \(place.number) holds something that is no item")
        }
        guard let item else { return }
        try visit(item, body)
      }
    }
  }
}
