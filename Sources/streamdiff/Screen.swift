import Glibc
import StreamDiffService

/// Standard output as something that is drawn anew: on a terminal over what was there, elsewhere one block after the
/// other.
enum Screen {
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  static func draw(_ lines: [String]) {
    guard isTerminal else { return Output.print(lines.joined(separator: "\n") + "\n") }
    let (columns, rows) = (size.columns, size.rows - 1)
    var shown = lines.flatMap { wrapped($0, to: columns) }
    if shown.count > rows {
      shown = shown.prefix(max(1, rows - 1)) + ["… and \(shown.count - max(1, rows - 1)) more"]
    }
    // Home, each line with what is left of it cleared, and what is beneath cleared.
    Output.write(Array(("\u{1b}[H" + shown.map { "\($0)\u{1b}[K\n" }.joined() + "\u{1b}[J").utf8))
  }

  /// Rows of at most so many characters: what comes last, a reason, is not to be lost.
  static func wrapped(_ line: String, to columns: Int) -> [String] {
    var (rows, rest) = ([String](), line[...])
    repeat {
      rows.append(String(rest.prefix(columns)))
      rest = rest.dropFirst(columns)
    } while !rest.isEmpty
    return rows
  }

  private static var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 1 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }
}
