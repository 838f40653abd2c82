/// A pattern for paths, by the rules that people know from rsync and gitignore:
///
///     *         any run of characters within a name
///     ?         one character of a name
///     [a-z]     one character of a set; [!a-z] or [^a-z] one that is not in it
///     **        any run of characters, across names; **/ is any number of directories, none included
///     \x        the character x itself
///
/// A pattern with a "/" before its end is held against the whole path (a leading "/" says only that), one
/// without against a single name. A "/" at its end lets it match directories alone.
///
/// Characters are Unicode scalars; a byte of a name that is no UTF-8 counts as one. Matching takes at most
/// pattern length times path length steps, whatever the pattern.
public struct Glob: Hashable, Sendable {
  /// A pattern that means nothing.
  public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
    public let pattern: String
    public let reason: String
    public var description: String { "'\(pattern)' is no pattern: \(reason)" }
  }

  /// The longest pattern in bytes: with a path of full length it costs some milliseconds.
  public static let maximumBytes = 1024

  private enum Token: Hashable, Sendable {
    case character(UInt32)
    case anyCharacter
    case set([ClosedRange<UInt32>], isNegated: Bool)
    /// "*"
    case withinName
    /// "**"
    case acrossNames
    /// "**/" at the start of a name: nothing, or what the token behind it, `directoryNames`, takes.
    case directories
    /// Any characters, of which the last is a "/".
    case directoryNames
  }

  private let tokens: [Token]
  /// Held against the whole path, not against one name.
  public let isAnchored: Bool
  public let matchesDirectoriesOnly: Bool

  public init(_ pattern: String) throws(Problem) {
    guard pattern.utf8.count <= Self.maximumBytes else {
      throw Problem(
        pattern: String(pattern.prefix(40)) + "…", reason: "longer than \(Self.maximumBytes) bytes")
    }
    var parser = Parser(pattern)
    try parser.parse()
    (tokens, isAnchored) = (parser.tokens, parser.isAnchored)
    matchesDirectoriesOnly = parser.endsInSlash
  }

  /// Whether the pattern matches all of `text`: a name, or a path without a directory's last "/".
  func matches(_ text: ArraySlice<UInt32>) -> Bool {
    // The places in `tokens` at which a match of what was read so far may go on.
    var places = [Bool](repeating: false, count: tokens.count + 1)
    var next = places
    enter(0, &places)
    for character in text {
      var isAlive = false
      for place in tokens.indices where places[place] {
        isAlive = true
        places[place] = false
        let isSlash = character == Self.slash
        switch tokens[place] {
        case .character(let wanted): if character == wanted { enter(place + 1, &next) }
        case .anyCharacter: if !isSlash { enter(place + 1, &next) }
        case .set(let ranges, let isNegated):
          if !isSlash, ranges.contains(where: { $0.contains(character) }) != isNegated {
            enter(place + 1, &next)
          }
        case .withinName: if !isSlash { enter(place, &next) }
        case .acrossNames: enter(place, &next)
        case .directories: break  // what follows it is a place of its own
        case .directoryNames:
          next[place] = true
          if isSlash { enter(place + 1, &next) }
        }
      }
      guard isAlive else { return false }
      places[tokens.count] = false
      swap(&places, &next)
    }
    return places[tokens.count]
  }

  /// Marks a place and those that are reached from there without a character.
  private func enter(_ place: Int, _ places: inout [Bool]) {
    var place = place
    while !places[place] {
      places[place] = true
      guard place < tokens.count else { return }
      switch tokens[place] {
      case .withinName, .acrossNames: place += 1
      case .directories:
        places[place + 1] = true
        place += 2
      case .character, .anyCharacter, .set, .directoryNames: return
      }
    }
  }

  static let slash = UInt32(UInt8(ascii: "/"))

  /// A path as characters.
  static func characters(of bytes: some Sequence<UInt8>) -> [UInt32] {
    let bytes = Array(bytes)
    var characters: [UInt32] = []
    characters.reserveCapacity(bytes.count)
    var place = 0
    while place < bytes.count {
      if bytes[place] < 0x80 {
        characters.append(UInt32(bytes[place]))
        place += 1
        continue
      }
      var parser = Unicode.UTF8.ForwardParser()
      var iterator = bytes[place...].makeIterator()
      if case .valid(let encoded) = parser.parseScalar(from: &iterator) {
        characters.append(Unicode.UTF8.decode(encoded).value)
        place += encoded.count
      } else {
        characters.append(strayByte + UInt32(bytes[place]))
        place += 1
      }
    }
    return characters
  }

  /// Beyond the last scalar.
  private static let strayByte: UInt32 = 0x11_0000

  /// Takes a pattern apart from front to back.
  private struct Parser {
    let pattern: String
    let characters: [Unicode.Scalar]
    private var place = 0
    private(set) var tokens: [Token] = []
    private(set) var isAnchored = false
    private(set) var endsInSlash = false

    init(_ pattern: String) {
      self.pattern = pattern
      characters = Array(pattern.unicodeScalars)
    }

    mutating func parse() throws(Problem) {
      if characters.first == "/" { (place, isAnchored) = (1, true) }
      while place < characters.count {
        let character = characters[place]
        place += 1
        switch character {
        case "*": takeStars()
        case "?": tokens.append(.anyCharacter)
        case "[": try takeSet()
        case "\\": tokens.append(.character(try escaped().value))
        case "/" where place == characters.count: endsInSlash = true
        default: tokens.append(.character(character.value))
        }
        if tokens.last == .character(Glob.slash), place < characters.count { isAnchored = true }
      }
      guard !tokens.isEmpty else { throw problem("it names nothing") }
    }

    private mutating func takeStars() {
      var stars = 1
      while place < characters.count, characters[place] == "*" { (place, stars) = (place + 1, stars + 1) }
      let startsName =
        tokens.isEmpty || tokens.last == .character(Glob.slash) || tokens.last == .directoryNames
      if stars == 1 {
        tokens.append(.withinName)
      } else if startsName, place + 1 < characters.count, characters[place] == "/" {
        place += 1
        isAnchored = true
        tokens += [.directories, .directoryNames]
      } else {
        tokens.append(.acrossNames)
      }
    }

    private mutating func takeSet() throws(Problem) {
      var ranges: [ClosedRange<UInt32>] = []
      var isNegated = false
      if place < characters.count, characters[place] == "!" || characters[place] == "^" {
        (place, isNegated) = (place + 1, true)
      }
      // A "]" in the first place stands for itself.
      var isFirst = true
      while let first = try setCharacter(isFirst: isFirst) {
        isFirst = false
        var last = first
        if place + 1 < characters.count, characters[place] == "-", characters[place + 1] != "]" {
          place += 1
          guard let end = try setCharacter(isFirst: true) else { throw problem("a range in [ ] has no end") }
          last = end
        }
        guard first <= last else { throw problem("the range \(first)-\(last) runs backwards") }
        ranges.append(first.value...last.value)
      }
      tokens.append(.set(ranges, isNegated: isNegated))
    }

    /// - Returns: nil for the "]" that ends the set.
    private mutating func setCharacter(isFirst: Bool) throws(Problem) -> Unicode.Scalar? {
      guard place < characters.count else { throw problem("a [ without its ]") }
      let character = characters[place]
      place += 1
      switch character {
      case "]" where !isFirst: return nil
      case "\\": return try escaped()
      case "/": throw problem("a / in [ ]")
      case "[" where place < characters.count && characters[place] == ":":
        throw problem("classes such as [:alpha:] are not known; write [A-Za-z]")
      default: return character
      }
    }

    private mutating func escaped() throws(Problem) -> Unicode.Scalar {
      guard place < characters.count else { throw problem("a \\ with nothing behind it") }
      place += 1
      return characters[place - 1]
    }

    private func problem(_ reason: String) -> Problem { Problem(pattern: pattern, reason: reason) }
  }
}
