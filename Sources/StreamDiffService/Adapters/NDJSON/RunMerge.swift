import StreamDiffCore

/// Merges runs into one order. Of entries with one key the one with the greatest place wins.
enum RunMerge {
  /// Runs read at a time: each costs a buffer of 256 KiB, or somewhat over 1 MiB where values are large.
  static let maximumWidth = 64

  /// Visits the winners in key order, deletions included. The runs are at most `maximumWidth`.
  static func forEach(
    _ runs: [Run], _ visit: (RunEntry) throws(AdapterError) -> Void
  ) throws(AdapterError) {
    var heap = Heap()
    for run in runs {
      let cursor = try RunCursor(run)
      if cursor.entry != nil { heap.insert(cursor) }
    }
    var last: [UInt8] = []
    while let entry = heap.first?.entry {
      // A key's older entries stand right behind in the heap's order: they are passed over.
      if last.isEmpty || last.withUnsafeBytes({ compare($0, entry.key) != 0 }) {
        try visit(entry)
        last.removeAll(keepingCapacity: true)
        last.append(contentsOf: entry.key)
      }
      try heap.advanceFirst()
    }
  }

  /// Reduces any number of runs to at most `maximumWidth`.
  static func narrowed(_ runs: [Run]) throws(AdapterError) -> [Run] {
    var runs = runs
    while runs.count > maximumWidth {
      var writer = SpillWriter(try SpillFile())
      try forEach(Array(runs.prefix(maximumWidth))) { entry throws(AdapterError) in
        try writer.append { entry.append(to: &$0) }
      }
      try writer.flush()
      runs = Array(runs.dropFirst(maximumWidth)) + [Run(spill: writer.spill, byteCount: writer.offset)]
    }
    return runs
  }

  /// Cursors by the entry they stand at: smallest key first, of one key the greatest place.
  private struct Heap {
    private var cursors: [RunCursor] = []

    var first: RunCursor? { cursors.first }

    mutating func insert(_ cursor: RunCursor) {
      cursors.append(cursor)
      var child = cursors.count - 1
      while child > 0, precedes(child, (child - 1) / 2) {
        cursors.swapAt(child, (child - 1) / 2)
        child = (child - 1) / 2
      }
    }

    mutating func advanceFirst() throws(AdapterError) {
      try cursors[0].advance()
      if cursors[0].entry == nil {
        cursors.swapAt(0, cursors.count - 1)
        cursors.removeLast()
      }
      var parent = 0
      while true {
        var least = parent
        for child in [2 * parent + 1, 2 * parent + 2] where child < cursors.count && precedes(child, least) {
          least = child
        }
        if least == parent { return }
        cursors.swapAt(parent, least)
        parent = least
      }
    }

    private func precedes(_ lhs: Int, _ rhs: Int) -> Bool {
      guard let left = cursors[lhs].entry, let right = cursors[rhs].entry else {
        preconditionFailure("a cursor in the heap stands at an entry")
      }
      let order = compare(left.key, right.key)
      return order == 0 ? left.place > right.place : order < 0
    }
  }
}
