import Glibc
import StreamDiffService

/// Standard output as something that is drawn anew: on a terminal over what was there, elsewhere one block after the
/// other.
enum Screen {
  static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 }

  /// On a terminal lines end where it ends.
  static func cut(_ lines: [String]) -> [String] {
    guard isTerminal else { return lines }
    let width = size.columns
    return lines.map { String($0.prefix(width)) }
  }

  static func draw(_ lines: [String]) {
    guard isTerminal else { return Output.print(lines.joined(separator: "\n") + "\n") }
    let rows = size.rows - 1
    var shown = cut(lines)
    if shown.count > rows {
      shown = shown.prefix(max(1, rows - 1)) + ["… and \(shown.count - max(1, rows - 1)) more"]
    }
    // Home, each line with what is left of it cleared, and what is beneath cleared.
    Output.write(Array(("\u{1b}[H" + shown.map { "\($0)\u{1b}[K\n" }.joined() + "\u{1b}[J").utf8))
  }

  private static var size: (columns: Int, rows: Int) {
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 1 else {
      return (80, 24)
    }
    return (Int(size.ws_col), Int(size.ws_row))
  }
}
