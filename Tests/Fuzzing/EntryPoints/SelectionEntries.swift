import StreamDiffCore

extension EntryPoints {
  /// What a push leaves alone: patterns from a command line, held against names from a disk or a peer.
  static let selection = [exclusions]

  /// Patterns as parts, and behind them one path.
  static let exclusions = EntryPoint(
    "exclusions", shape: .parts, dictionary: ExclusionSamples.words, seeds: { ExclusionSamples.all }
  ) { input, seen in
    var parts = Shape.parts.split(input).map { Array($0.dropFirst(2)) }
    guard let path = parts.popLast() else { return }
    let patterns = parts.map { String(decoding: $0, as: UTF8.self) }
    let exclusions: Exclusions
    do throws(Glob.Problem) {
      exclusions = try Exclusions(patterns)
    } catch {
      // What stands behind names a character or the pattern.
      return seen.note(String(error.reason.prefix(12)))
    }
    let isExcluded = exclusions.contains(path)
    seen.note(isExcluded ? "excluded" : "kept")
    try require(exclusions.isEmpty == patterns.isEmpty, "patterns are lost")
    try require(!isExcluded || !path.isEmpty, "the empty path is excluded")
    // The more patterns, the more is excluded, and each for itself.
    var isExcludedByOne = false
    for pattern in patterns { isExcludedByOne = try isExcludedByOne || Exclusions([pattern]).contains(path) }
    try require(
      isExcluded == isExcludedByOne, "several patterns exclude what none of them does, or the reverse")
    // What is beneath an excluded directory is excluded.
    if isExcluded, path.last == UInt8(ascii: "/") {
      try require(exclusions.contains(path + [0x78]), "an excluded directory holds what is not excluded")
    }
    // A path is matched by itself spelt out, and by nothing else of its length.
    let name = String(decoding: path, as: UTF8.self)
    let escaped = "/" + name.unicodeScalars.map { "\\\($0)" }.joined()
    if !path.isEmpty, Array(name.utf8) == path, escaped.utf8.count <= Glob.maximumBytes {
      try require(
        try Exclusions([escaped]).contains(path) || path.last == UInt8(ascii: "/"),
        "a path is not its own pattern")
    }
    let work = patterns.reduce(0) { $0 + $1.utf8.count } * path.count * path.count
    guard work < 1 << 17 else { return seen.note("long") }
    let expected = patterns.contains { ReferenceGlob($0).excludes(path) }
    seen.note(count: patterns.count)
    try require(isExcluded == expected, "\(patterns) and \(name): \(isExcluded), by definition \(expected)")
  }
}

/// Patterns as `Glob` documents them, by trying everything, each pair of places once: slow, and short enough to
/// be believed. For patterns that `Glob` takes.
struct ReferenceGlob {
  private let pattern: [Unicode.Scalar]
  private let isAnchored: Bool
  private let wantsDirectory: Bool

  init(_ text: String) {
    var scalars = Array(text.unicodeScalars)
    let leads = scalars.first == "/"
    if leads { scalars.removeFirst() }
    let isEscaped = scalars.dropLast().reversed().prefix { $0 == "\\" }.count % 2 == 1
    wantsDirectory = scalars.last == "/" && !isEscaped
    if wantsDirectory { scalars.removeLast() }
    pattern = scalars
    // A "/" that something follows, be it one that asks for a directory; in a set it means nothing.
    var (place, hasSlash) = (0, leads)
    while place < pattern.count {
      switch pattern[place] {
      case "[": place = Self.set(in: pattern, from: place + 1, 0).end
      case "\\":
        place += 1
        fallthrough
      default:
        hasSlash = hasSlash || pattern[place] == "/" && (place + 1 < pattern.count || wantsDirectory)
        place += 1
      }
    }
    isAnchored = hasSlash
  }

  func excludes(_ path: [UInt8]) -> Bool {
    let path = Self.characters(of: path)
    var ends = path.indices.filter { path[$0] == Self.slash }
    let isDirectory = path.last == Self.slash
    if !isDirectory, !path.isEmpty { ends.append(path.count) }
    return ends.contains { end in
      let whole = path[..<end]
      guard end < path.count || !wantsDirectory else { return false }
      let name = whole.lastIndex(of: Self.slash).map { whole[($0 + 1)...] } ?? whole
      var tried: Set<[Int]> = []
      return matches(0, isAnchored ? whole : name, &tried)
    }
  }

  private func matches(_ place: Int, _ text: ArraySlice<UInt32>, _ tried: inout Set<[Int]>) -> Bool {
    // What was tried and is tried again did not match.
    guard tried.insert([place, text.startIndex]).inserted else { return false }
    guard place < pattern.count else { return text.isEmpty }
    let rest = text.dropFirst()
    switch pattern[place] {
    case "*":
      let end = pattern[place...].firstIndex { $0 != "*" } ?? pattern.count
      let crosses = end - place > 1
      if crosses, place == 0 || pattern[place - 1] == "/", end < pattern.count, pattern[end] == "/",
        end + 1 < pattern.count || wantsDirectory
      {
        let starts = [text.startIndex] + text.indices.filter { text[$0] == Self.slash }.map { $0 + 1 }
        for start in starts where matches(end + 1, text[start...], &tried) { return true }
        return false
      }
      for start in text.startIndex...text.endIndex where crosses || !text[..<start].contains(Self.slash) {
        if matches(end, text[start...], &tried) { return true }
      }
      return false
    case "?": return text.first.map { $0 != Self.slash } ?? false && matches(place + 1, rest, &tried)
    case "[":
      guard let character = text.first else { return false }
      let (isIn, end) = Self.set(in: pattern, from: place + 1, character)
      return isIn && character != Self.slash && matches(end, rest, &tried)
    case "\\": return text.first == pattern[place + 1].value && matches(place + 2, rest, &tried)
    case let scalar: return text.first == scalar.value && matches(place + 1, rest, &tried)
    }
  }

  /// - Parameter place: behind the "[".
  /// - Returns: whether the set has the character, and the place behind its "]".
  private static func set(
    in pattern: [Unicode.Scalar], from place: Int, _ character: UInt32
  ) -> (isIn: Bool, end: Int) {
    let isNegated = pattern[place] == "!" || pattern[place] == "^"
    let first = isNegated ? place + 1 : place
    var (next, isIn) = (first, false)
    func take() -> UInt32 {
      if pattern[next] == "\\" { next += 1 }
      next += 1
      return pattern[next - 1].value
    }
    while next == first || pattern[next] != "]" {
      let low = take()
      var high = low
      if pattern[next] == "-", pattern[next + 1] != "]" {
        next += 1
        high = take()
      }
      isIn = isIn || low...high ~= character
    }
    return (isIn != isNegated, next + 1)
  }

  private static let slash = UInt32(UInt8(ascii: "/"))

  private static func characters(of bytes: [UInt8]) -> [UInt32] {
    var (characters, place): ([UInt32], Int) = ([], 0)
    while place < bytes.count {
      let lengths = 1...min(4, bytes.count - place)
      let found = lengths.lazy.compactMap { String(validating: bytes[place..<place + $0], as: UTF8.self) }
        .first
      // What is no character is one of its own, beyond all that a pattern can name.
      characters.append(found?.unicodeScalars.first?.value ?? 0x11_0000 + UInt32(bytes[place]))
      place += found?.utf8.count ?? 1
    }
    return characters
  }
}

enum ExclusionSamples {
  private static let pairs: [([String], String)] = [
    (["*.log"], "x/y/a.log"), (["tmp/"], "a/tmp/x"), (["tmp/"], "tmp"), (["a/b", "/c"], "c"),
    (["/*.c"], "d/a.c"),
    (["a/*/c"], "a/b/c"), (["**/a"], "x/y/a"), (["a/**/b"], "a/x/y/b"), (["a**b/c"], "a/x/b/c"),
    (["**/"], "d/"),
    (["**/**/a", "?"], "x/a"), (["[a-c]x", "[!ä-ü]"], "bx"), (["[]x]"], "]"), (["[a-]"], "-"), (["\\*"], "*"),
    (["[\\]-a]y/"], "^y/"), ([], "a"), (["a?.c", "\\[a]"], "a😀.c"), (["[^/x]"], "y"), (["//a", "a//"], "/a"),
    ([String(repeating: "*a", count: 60)], String(repeating: "a", count: 59)),
    ([String(repeating: "**/", count: 40) + "b"], String(repeating: "a/", count: 40)),
    ([String(repeating: "**a", count: 341)], String(repeating: "a/", count: 300)),
  ]

  static let all = pairs.map { patterns, path in
    (patterns + [path]).flatMap { Shape.parts.part(Array($0.utf8)) }
  }

  static let words = [
    "*", "**", "**/", "/**", "?", "[", "]", "[!", "[^", "-", "\\", "/", "[a-z]", "ä", "\u{fffd}",
  ]
  .map { Array($0.utf8) }
}
