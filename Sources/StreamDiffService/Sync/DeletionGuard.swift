import Synchronization

/// Keeps a push from deleting over half of what is there without being told to: counted as a user counts,
/// in files and links of a directory or lines, and in entries, so that one file of a million pieces weighs
/// what it holds. Shared by all sessions of one push, because what several rounds delete is deleted all the
/// same. Until a first round has passed, the push changes nothing: what it added would make what it deletes
/// look little, to itself after a cut connection and to the next one.
///
/// What goes because its file has new content, or because something else takes its name, is no deletion.
public final class DeletionGuard: Sendable {
  /// What one round wants to delete, and what it says of the receiver.
  public struct Round: Sendable {
    let isDirectory: Bool
    /// Eight bytes for each: the same in a later round is the same. In a plain keyspace a line is one of
    /// `files`, and `entries` stays empty.
    private(set) var files: Set<Int> = []
    private(set) var entries: Set<Int> = []
    /// Files that the receiver lacks, and those that only it has, whether they are to go or to stay.
    public var added = 0
    public var extra = 0

    public init(isDirectory: Bool) { self.isDirectory = isDirectory }

    /// - Parameter isFile: a user would count it.
    public mutating func delete(_ key: [UInt8], isFile: Bool) {
      if isDirectory { entries.insert(key.hashValue) }
      if isFile { files.insert(key.hashValue) }
    }

    var isEmpty: Bool { files.isEmpty && entries.isEmpty }
    static let entryNoun = "records and pieces of files"
    var fileNoun: String { isDirectory ? "files" : "entries" }
  }

  private struct Sent {
    var files: Set<Int> = []
    var entries: Set<Int> = []
  }

  private let sent = Mutex(Sent())
  private let decided = Mutex(false)

  public init() {}

  /// Whether a round of this push has passed, or there was nothing to delete when it began.
  ///
  /// - Parameter entries: what the receiver holds.
  func isDecided(entries: Int) -> Bool {
    decided.withLock { isDecided in
      if entries == 0 { isDecided = true }
      return isDecided
    }
  }

  /// Deletions after which a round is looked at before its end: each is remembered in some 16 bytes.
  private static let earlyCheck = 1 << 20

  /// Before the end of a round: whether it wants far too much already.
  ///
  /// - Parameter entries: what the receiver holds.
  func check(_ round: Round, entries: Int) throws(SyncFailure) {
    guard max(round.files.count, round.entries.count) > Self.earlyCheck else { return }
    try sent.withLock { sent throws(SyncFailure) in
      if round.isDirectory {
        try Self.check(round.entries, after: sent.entries, there: entries, Round.entryNoun)
      } else {
        try Self.check(round.files, after: sent.files, there: entries, round.fileNoun)
      }
    }
  }

  /// At the end of a round, before its first deletion. From here on its deletions count as done.
  ///
  /// - Parameters:
  ///   - entries: what the receiver holds.
  ///   - source: entries of the source, and how many files.
  public func pass(_ round: Round, entries: Int, source: (entries: Int, files: Int)) throws(SyncFailure) {
    try passes(round, entries: entries, source: source)
    decided.withLock { $0 = true }
  }

  private func passes(
    _ round: Round, entries: Int, source: (entries: Int, files: Int)
  ) throws(SyncFailure) {
    guard !round.isEmpty else { return }
    let files = source.files - round.added + round.extra
    try sent.withLock { sent throws(SyncFailure) in
      if source.entries == 0 {
        throw SyncFailure(
          .tooManyDeletions(count: round.files.count, of: files),
          "the source is empty: this would delete \(round.files.count) of the \(files) \(round.fileNoun) there; "
            + "nothing has been changed")
      }
      try Self.check(round.files, after: sent.files, there: files, round.fileNoun)
      if round.isDirectory {
        try Self.check(round.entries, after: sent.entries, there: entries, Round.entryNoun)
      }
      sent.files.formUnion(round.files)
      sent.entries.formUnion(round.entries)
    }
  }

  private static func check(
    _ now: Set<Int>, after before: Set<Int>, there: Int, _ noun: String
  ) throws(SyncFailure) {
    // Those of earlier rounds that are not planned again are gone, and were there.
    let gone = before.count { !now.contains($0) }
    let (count, total) = (now.count + gone, there + gone)
    guard 2 * count > total else { return }
    throw SyncFailure(
      .tooManyDeletions(count: count, of: total),
      "this would delete \(count) of the \(total) \(noun) there, more than half; "
        + (before.isEmpty ? "nothing has been changed" : "\(before.count) have been deleted before"))
  }
}
