/// Rows of words in columns, as wide as their widest word.
enum TextTable {
  /// - Parameter right: columns whose words end in one line, as numbers do.
  static func lines(_ rows: [[String]], right: Set<Int> = []) -> [String] {
    var widths: [Int] = []
    for row in rows {
      for (column, word) in row.enumerated() {
        if column == widths.count { widths.append(0) }
        widths[column] = max(widths[column], word.count)
      }
    }
    return rows.map { row in
      var line = ""
      for (column, word) in row.enumerated() {
        let space = String(repeating: " ", count: widths[column] - word.count)
        if column > 0 { line += "  " }
        // Nothing stands behind the last column.
        let isLast = column == row.count - 1
        line += right.contains(column) ? space + word : isLast ? word : word + space
      }
      return line
    }
  }
}
