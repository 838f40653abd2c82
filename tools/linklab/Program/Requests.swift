import LinkModel

/// What the control socket understands: `stats`, `stats reset`, `set SIDE CHANGE …`, `cut SIDE LENGTH …`, where
/// SIDE is `up` or `down`. Answers are JSON; one with a member `error` changed nothing.
struct Requests {
  let session: Session

  func answer(_ line: String) -> String {
    let words = line.split(separator: " ").map(String.init)
    do {
      switch words.first {
      case "stats" where words.count == 1: return Report(session).json.line
      case "stats" where words == ["stats", "reset"]:
        let report = Report(session).json
        session.relay.resetCounters()
        return report.line
      case "set":
        try set(words.dropFirst())
        return Report(session).settings.line
      case "cut":
        try cut(words.dropFirst())
        return JSON.object([("cut", .bool(true))]).line
      default: return Self.refusal("'\(line)' is no request")
      }
    } catch {
      return Self.refusal(error.reason)
    }
  }

  /// All of it or nothing.
  private func set(_ words: ArraySlice<String>) throws(SettingsError) {
    var new: [(Relay.Side, LinkSettings)] = []
    for (side, text) in try pairs(words) {
      var settings = session.relay.directions[side.rawValue].link.settings
      try LinkChange(text: text).apply(to: &settings)
      if let fault = settings.fault(mtu: session.mtu) {
        throw SettingsError(reason: "\(fault) (\(side.name))")
      }
      new.append((side, settings))
    }
    for (side, settings) in new { session.relay.change(side, to: settings) }
  }

  private func cut(_ words: ArraySlice<String>) throws(SettingsError) {
    var lengths: [(Relay.Side, Interval)] = []
    for (side, text) in try pairs(words) {
      guard let length = Interval(text: text) else { throw SettingsError(reason: "'\(text)' is no time") }
      lengths.append((side, length))
    }
    for (side, length) in lengths { session.relay.cut(side, for: length) }
  }

  private func pairs(_ words: ArraySlice<String>) throws(SettingsError) -> [(Relay.Side, String)] {
    var pairs: [(Relay.Side, String)] = []
    var rest = words
    while let name = rest.popFirst() {
      guard let side = Relay.Side.allCases.first(where: { $0.name == name }), let text = rest.popFirst()
      else {
        throw SettingsError(reason: "'\(name)' is not up or down with something behind it")
      }
      pairs.append((side, text))
    }
    return pairs
  }

  private static func refusal(_ reason: String) -> String { JSON.object([("error", .text(reason))]).line }
}
