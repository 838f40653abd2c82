import StreamDiffCore

/// What a directory holds once everything written so far is in place: a scan and the changes since.
struct DirectoryModel {
  private(set) var content: DirectoryContent
  private var changes: [[UInt8]: DirectoryEntry?] = [:]

  init(_ content: DirectoryContent) { self.content = content }

  subscript(_ path: [UInt8]) -> DirectoryEntry? {
    get { changes[path] ?? content.entry(path) }
    set { changes.updateValue(newValue, forKey: path) }
  }

  /// - Throws: `.refused` when the path was written since the content settled.
  func checkUnwritten(_ path: [UInt8]) throws(AdapterError) {
    if let change = changes[path], change != nil { throw Self.conflict(path) }
  }

  /// Forgets the change of a path.
  mutating func revert(_ path: [UInt8]) { changes[path] = nil }

  /// Takes the changes into the content and its tree.
  ///
  /// - Throws: `.refused` when a path would be a directory and something else at once.
  mutating func settle() throws(AdapterError) {
    guard !changes.isEmpty else { return }
    for (path, entry) in changes where entry != nil && !DirectoryKey.isDirectory(path) {
      guard self[path + [UInt8(ascii: "/")]] == nil else { throw Self.conflict(path) }
    }
    for (path, entry) in changes where entry != nil && DirectoryKey.isDirectory(path) {
      guard self[Array(path.dropLast())] == nil else { throw Self.conflict(path) }
    }
    let added = changes.values.compactMap { $0 }.sorted { precedes($0.path, $1.path) }
    var merged: [DirectoryEntry] = []
    merged.reserveCapacity(content.entries.count + added.count)
    var next = added.startIndex
    for entry in content.entries where changes[entry.path] == nil {
      while next < added.endIndex, precedes(added[next].path, entry.path) {
        merged.append(added[next])
        next += 1
      }
      merged.append(entry)
    }
    merged += added[next...]
    content = DirectoryContent(merged)
    changes.removeAll()
  }

  private static func conflict(_ path: [UInt8]) -> AdapterError {
    AdapterError(.refused, path: printable(path), "refused: a directory and something else under one name")
  }
}
