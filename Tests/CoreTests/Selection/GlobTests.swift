import StreamDiffCore
import Testing

@Suite struct GlobTests {
  private static func excludes(_ patterns: String..., path: String) throws -> Bool {
    try Exclusions(patterns).contains(Array(path.utf8))
  }

  @Test(
    "a pattern matches what rsync and gitignore say it does",
    arguments: [
      // Without a slash: a name at any depth, and what is beneath a directory of that name.
      ("*.log", "a.log", true), ("*.log", "x/y/a.log", true), ("*.log", "a.logs", false),
      ("*.log", ".log", true), ("a", "a", true), ("a", "b/a", true), ("a", "ab", false),
      ("a", "a/deep/down", true), ("a", "x/a/y", true), ("*", "anything", true),
      // A trailing slash: directories alone, and what they hold.
      ("tmp/", "tmp/", true), ("tmp/", "tmp", false), ("tmp/", "tmp/x", true), ("tmp/", "a/tmp/x/y", true),
      ("tmp/", "a/tmp", false), ("*/", "a", false), ("*/", "a/b", true),
      // With a slash: the whole path.
      ("a/b", "a/b", true), ("a/b", "x/a/b", false), ("a/b", "a/b/c", true), ("/a", "a", true),
      ("/a", "x/a", false), ("/*.c", "a.c", true), ("/*.c", "d/a.c", false), ("a/*", "a/b", true),
      ("a/*", "a/b/c", true), ("a/*", "a/", false), ("a/*/c", "a/b/c", true), ("a/*/c", "a/b/x/c", false),
      ("a/b/", "a/b", false), ("a/b/", "a/b/", true), ("//a", "/a", true), ("//a", "a", false),
      // Stars across names.
      ("**/a", "a", true), ("**/a", "x/a", true), ("**/a", "x/y/a", true), ("**/a", "xa", false),
      ("a/**/b", "a/b", true), ("a/**/b", "a/x/b", true), ("a/**/b", "a/x/y/b", true),
      ("a/**/b", "ab", false), ("a/**/b", "a/xb", false), ("a/**", "a/x/y", true), ("a/**", "a/", false),
      ("a/**", "a", false), ("**", "x/y", true), ("a**b/c", "a/x/b/c", true), ("a**b/c", "ab/c", true),
      ("**/", "d/", true), ("**/", "d", false), ("**/**/a", "x/a", true), ("***/a", "x/y/a", true),
      // One character.
      ("?", "a", true), ("?", "ab", false), ("?", "ä", true), ("a?b/c", "a/b/c", false),
      ("[a-c]x", "bx", true), ("[a-c]x", "dx", false), ("[!a-c]x", "dx", true), ("[^a-c]x", "ax", false),
      ("[]x]", "]", true), ("[a-]", "-", true), ("[ä-ü]", "ö", true), ("[!x]y/c", "/y/c", false),
      ("[\\]]", "]", true),
      // Escapes.
      ("\\*", "*", true), ("\\*", "a", false), ("a\\?", "a?", true), ("\\[a]", "[a]", true),
    ])
  func matches(pattern: String, path: String, expected: Bool) throws {
    #expect(try Self.excludes(pattern, path: path) == expected, "\(pattern) and \(path)")
  }

  @Test("any of several patterns excludes; none excludes nothing; the empty path is never excluded")
  func several() throws {
    #expect(try Self.excludes("a", "b", path: "b"))
    #expect(!Exclusions.none.contains(Array("a".utf8)) && Exclusions.none.isEmpty)
    #expect(try !Self.excludes("**", path: ""))
  }

  @Test("a name that is no UTF-8 has a character for each stray byte")
  func strayBytes() throws {
    let path: [UInt8] = [0x61, 0xff, 0xc3, 0x2e, 0x63]
    #expect(try Exclusions(["a??.c"]).contains(path))
    #expect(try Exclusions(["a*.c"]).contains(path))
    #expect(try !Exclusions(["a?.c"]).contains(path))
  }

  @Test(
    "what means nothing is refused",
    arguments: ["", "/", "[", "[a", "[z-a]", "[a-", "a\\", "[a/b]", "[[:alpha:]]", "[]", "[!]", "[a\\"])
  func malformed(pattern: String) {
    #expect(throws: Glob.Problem.self) { try Exclusions([pattern]) }
  }

  @Test("too long and too many are refused")
  func bounds() throws {
    #expect(throws: Glob.Problem.self) { try Glob(String(repeating: "a", count: Glob.maximumBytes + 1)) }
    #expect(throws: Glob.Problem.self) {
      try Exclusions(Array(repeating: "a", count: Exclusions.maximumPatterns + 1))
    }
    _ = try Glob(String(repeating: "*a", count: Glob.maximumBytes / 2))
  }

  /// The definition, by trying everything: exponential, for short words alone.
  private static func reference(_ pattern: [Character], from place: Int = 0, _ text: ArraySlice<Character>)
    -> Bool
  {
    guard place < pattern.count else { return text.isEmpty }
    if pattern[place] == "*" {
      let rest = pattern[place...].firstIndex { $0 != "*" } ?? pattern.count
      let crosses = rest - place > 1
      let startsName = place == 0 || pattern[place - 1] == "/"
      if crosses, startsName, rest + 1 < pattern.count, pattern[rest] == "/" {
        if reference(pattern, from: rest + 1, text) { return true }
        return text.indices.contains {
          text[$0] == "/" && reference(pattern, from: rest + 1, text[($0 + 1)...])
        }
      }
      return (text.startIndex...text.endIndex).contains { end in
        (crosses || !text[..<end].contains("/")) && reference(pattern, from: rest, text[end...])
      }
    }
    guard let character = text.first else { return false }
    return (pattern[place] == "?" ? character != "/" : pattern[place] == character)
      && reference(pattern, from: place + 1, text.dropFirst())
  }

  @Test("matching agrees with the definition", arguments: 0..<8)
  func property(seed: Int) throws {
    var random = SplitMix(seed: seed)
    var matched = 0
    for _ in 0..<4000 {
      let word = (0..<Int.random(in: 1...7, using: &random)).map { _ in
        "ab*?/*".randomElement(using: &random)!
      }
      let text = (0..<Int.random(in: 1...7, using: &random)).map { _ in "aab/".randomElement(using: &random)!
      }
      // Anchored, so that the whole text is matched; and no trailing slash on either.
      let pattern = Array(String(word))
      guard pattern.last != "/", pattern.first != "/", text.last != "/" else { continue }
      let glob = try Exclusions(["/" + String(pattern)])
      var expected = false
      for end in text.indices where text[end] == "/" {
        expected = expected || Self.reference(pattern, text[..<end])
      }
      expected = expected || Self.reference(pattern, text[...])
      matched += expected ? 1 : 0
      #expect(
        glob.contains(Array(String(text).utf8)) == expected,
        "/\(String(pattern)) and \(String(text)), seed \(seed)")
    }
    #expect(matched > 100)
  }

  @Test("random bytes are a pattern or are refused, and no path is beyond any of them", arguments: 0..<4)
  func fuzz(seed: Int) {
    var random = SplitMix(seed: seed)
    let alphabet = Array("*?[]!^-\\/abä:.")
    for _ in 0..<3000 {
      let pattern = String(
        (0..<Int.random(in: 0...24, using: &random)).map { _ in alphabet.randomElement(using: &random)! })
      let path = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        Bool.random(using: &random) ? UInt8.random(in: 0...255, using: &random) : UInt8(ascii: "/")
      }
      guard let exclusions = try? Exclusions([pattern]) else { continue }
      _ = exclusions.contains(path)
    }
  }

  @Test("the hardest pattern of full length against the longest path takes bounded time")
  func bounded() throws {
    // A backtracking matcher needs longer than the universe for these. That they end is the test.
    let stars = try Exclusions([String(repeating: "**a", count: Glob.maximumBytes / 3 - 1) + "/b"])
    let directories = try Exclusions([String(repeating: "**/", count: Glob.maximumBytes / 3 - 1) + "b"])
    #expect(!stars.contains([UInt8](repeating: 0x61, count: Limits.keyBytes)))
    #expect(!directories.contains(Array(String(repeating: "a/", count: 200).utf8) + [0x61]))
  }
}
