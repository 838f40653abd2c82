/// What a push leaves alone, on both sides: paths, or keys taken as paths, that a pattern matches, and all
/// that is beneath a directory that one matches.
public struct Exclusions: Sendable {
  /// Each costs time for each path.
  public static let maximumPatterns = 1000

  private let patterns: [Glob]

  public static let none = Exclusions()
  private init() { patterns = [] }

  public init(_ patterns: [String]) throws(Glob.Problem) {
    guard patterns.count <= Self.maximumPatterns else {
      throw Glob.Problem(
        pattern: patterns[Self.maximumPatterns],
        reason: "\(patterns.count) are more than \(Self.maximumPatterns)")
    }
    var globs: [Glob] = []
    for pattern in patterns { globs.append(try Glob(pattern)) }
    self.patterns = globs
  }

  public var isEmpty: Bool { patterns.isEmpty }

  /// Whether a pattern matches the path or a directory on its way.
  /// - Parameter path: a directory's ends in "/".
  public func contains(_ path: some Collection<UInt8>) -> Bool {
    guard !patterns.isEmpty else { return false }
    let characters = Glob.characters(of: path)
    var start = 0
    for end in characters.indices where characters[end] == Glob.slash {
      if matches(characters[..<end], nameFrom: start, isDirectory: true) { return true }
      start = end + 1
    }
    return start < characters.count && matches(characters[...], nameFrom: start, isDirectory: false)
  }

  private func matches(_ path: ArraySlice<UInt32>, nameFrom start: Int, isDirectory: Bool) -> Bool {
    patterns.contains { pattern in
      guard isDirectory || !pattern.matchesDirectoriesOnly else { return false }
      return pattern.matches(pattern.isAnchored ? path : path[start...])
    }
  }
}
