/// A server's configuration file: what is set for all peers, then for single ones.
///
///     # a comment, to the end of its line
///     chunk-max = 32KiB
///
///     [peer 10.0.0.7]
///     rate-max = 100Mbit
///
/// Changed by program, it keeps comments and order.
public struct TunablesFile: Sendable {
  /// Bytes: all that `TuningTable.peersLimit` peers may have, and comments.
  public static let bytesLimit = 2 << 20

  public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
    /// The first is 1.
    public var line: Int
    public var detail: String

    public init(line: Int, detail: String) { (self.line, self.detail) = (line, detail) }

    public var description: String { "line \(line): \(detail)" }
  }

  public private(set) var values: TuningTable.Overrides = [:]
  private var lines: [String]
  /// Where each value stands, and where each section ends, as places in `lines`.
  private var places: [TuningPeer?: [Tunable: Int]] = [:]
  private var ends: [TuningPeer?: Int] = [nil: 0]
  private var headers: [TuningPeer: Int] = [:]

  private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

  public init() { lines = [] }

  /// - Throws: what is wrong in which line.
  public init(_ bytes: [UInt8]) throws(Problem) {
    lines = []
    var section: TuningPeer?
    // Some editors begin with a byte order mark.
    var rest = bytes.starts(with: Self.byteOrderMark) ? bytes.dropFirst(Self.byteOrderMark.count) : bytes[...]
    while !rest.isEmpty {
      let (place, next) = (lines.count, rest.prefix { $0 != UInt8(ascii: "\n") })
      rest = rest.dropFirst(next.count + 1)
      guard let line = String(validating: next, as: UTF8.self) else {
        throw Problem(line: place + 1, detail: "is not UTF-8")
      }
      lines.append(line)
      let words = Self.trimmed(line.prefix { $0 != "#" })
      if words.isEmpty {
        // Comments that begin a section come before what is added to it.
        let begins = ends[section] == place && values[section] == nil
        if begins, !Self.trimmed(line[...]).isEmpty { ends[section] = place + 1 }
        continue
      }
      do throws(TunableError) {
        try read(words, at: place, in: &section)
      } catch {
        throw Problem(line: place + 1, detail: error.detail)
      }
      ends[section] = place + 1
    }
  }

  private mutating func read(
    _ words: Substring, at place: Int, in section: inout TuningPeer?
  ) throws(TunableError) {
    if words.first == "[" {
      let peer = try Self.peer(words)
      section = peer
      headers[peer] = headers[peer] ?? place
      guard ends[section] == nil else { throw TunableError(nil, "a second section of that peer") }
      guard ends.count <= TuningTable.peersLimit else {
        throw TunableError(nil, "more than \(TuningTable.peersLimit) peers")
      }
      return
    }
    guard let equals = words.firstIndex(of: "=") else {
      throw TunableError(nil, "'\(words)' is no NAME = VALUE and no [peer ADDRESS]")
    }
    let tunable = try Tunable(named: String(Self.trimmed(words[..<equals])))
    let text = String(Self.trimmed(words[words.index(after: equals)...]))
    if let earlier = places[section]?[tunable] {
      throw TunableError(tunable, "\(tunable.rawValue) is set in line \(earlier + 1) already")
    }
    values[section, default: [:]][tunable] = try tunable.normal(text)
    places[section, default: [:]][tunable] = place
  }

  private static func peer(_ words: Substring) throws(TunableError) -> TuningPeer {
    let prefix = "[peer "
    guard words.hasPrefix(prefix), words.hasSuffix("]") else {
      throw TunableError(nil, "'\(words)' is no [peer ADDRESS] or [peer ADDRESS:PORT]")
    }
    let text = trimmed(words.dropFirst(prefix.count).dropLast())
    guard let peer = TuningPeer(text) else { throw TunableError(nil, "'\(text)' is not \(TuningPeer.form)") }
    return peer
  }

  /// Where a contradiction among the values of `peer` stands: in the section nearest to it that has a part in it, the
  /// last such line.
  /// - Parameter tunable: as the error names it.
  /// - Returns: `nil` where no line has a part in it.
  public func line(of tunable: Tunable?, for peer: TuningPeer?) -> Int? {
    guard let tunable else { return nil }
    let sections = [peer, peer?.wholeHost, nil].compactMap { places[$0] }
    return sections.lazy.compactMap { section in tunable.checkedWith.compactMap { section[$0] }.max() }.first
      .map { $0 + 1 }
  }

  // MARK: Changing

  /// Sets what the change sets and removes what it resets.
  public mutating func apply(_ change: TuningChange) {
    for (tunable, text) in change.values.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      set(tunable, to: text, for: change.peer)
    }
    // Then, for a section that is emptied goes.
    for peer in change.resetsPeers ? Array(places.keys) : [change.peer] {
      for tunable in change.reset { remove(tunable, for: peer) }
    }
  }

  private mutating func set(_ tunable: Tunable, to text: String, for peer: TuningPeer?) {
    let line = "\(tunable.rawValue) = \(text)"
    if let place = places[peer]?[tunable] {
      let comment = lines[place].firstIndex(of: "#").map { " \(lines[place][$0...])" } ?? ""
      lines[place] = line + comment
    } else {
      if ends[peer] == nil, let peer {
        if !lines.isEmpty { lines.append("") }
        headers[peer] = lines.count
        lines.append("[peer \(peer)]")
        ends[peer] = lines.count
      }
      let end = ends[peer] ?? 0
      insert(line, at: end)
      places[peer, default: [:]][tunable] = end
      ends[peer] = end + 1
    }
    values[peer, default: [:]][tunable] = text
  }

  private mutating func remove(_ tunable: Tunable, for peer: TuningPeer?) {
    guard let place = places[peer]?.removeValue(forKey: tunable) else { return }
    values[peer]?.removeValue(forKey: tunable)
    removeLine(place)
    if let peer, places[peer]?.isEmpty ?? true { removeSection(of: peer) }
  }

  /// With its last value; comments in it keep it.
  private mutating func removeSection(of peer: TuningPeer) {
    guard let header = headers[peer], !lines[header].contains("#") else { return }
    var end = headers.values.filter { $0 > header }.min() ?? lines.count
    let isBlank = { (line: String) in Self.trimmed(line[...]).isEmpty }
    guard lines[(header + 1)..<end].allSatisfy(isBlank) else { return }
    (values[peer], places[peer], ends[peer], headers[peer]) = (nil, nil, nil, nil)
    var start = header
    if end == lines.count {
      while start > 0, isBlank(lines[start - 1]) { start -= 1 }
    }
    while end > start {
      end -= 1
      removeLine(end)
    }
  }

  private mutating func removeLine(_ place: Int) {
    lines.remove(at: place)
    move(from: place + 1, by: -1)
  }

  private mutating func insert(_ line: String, at place: Int) {
    lines.insert(line, at: place)
    move(from: place, by: 1)
  }

  /// Places from `first` on; an end is behind what it ends.
  private mutating func move(from first: Int, by distance: Int) {
    places = places.mapValues { $0.mapValues { $0 >= first ? $0 + distance : $0 } }
    headers = headers.mapValues { $0 >= first ? $0 + distance : $0 }
    ends = ends.mapValues { $0 > first || distance < 0 && $0 == first ? $0 + distance : $0 }
  }

  public var bytes: [UInt8] { Array(lines.map { $0 + "\n" }.joined().utf8) }

  // MARK: Text

  private static func trimmed(_ text: Substring) -> Substring {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text
  }
}
