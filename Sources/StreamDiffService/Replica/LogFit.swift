import StreamDiffCore

/// Whether a log and a state belong together: the log must reach to what the state has, and begin no
/// later than what it lacks.
enum LogFit {
  /// - Returns: what does not fit; `nil` when all does.
  static func misfit(
    applied: LogIndex, firstIndex: LogIndex, lastIndex: LogIndex, lastTerm: Term, hardState: HardState
  ) -> String? {
    let needed = max(applied, hardState.commit)
    guard lastIndex >= needed else {
      return
        "the log ends at entry \(lastIndex.rawValue), but \(needed.rawValue) is committed: files are missing"
    }
    guard firstIndex <= applied + 1 else {
      return
        "the log begins at \(firstIndex.rawValue), but the state ends at \(applied.rawValue): files are missing"
    }
    guard hardState.term >= lastTerm else {
      return "term \(hardState.term.rawValue) is before the last entry's, \(lastTerm.rawValue)"
    }
    return nil
  }
}
