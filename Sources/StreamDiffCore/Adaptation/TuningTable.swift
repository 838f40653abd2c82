/// What operators have set on a server, for all peers and for single ones, and what holds for each.
///
/// What is nearer to a peer takes precedence: the flags, then what is set for all, for its host, for it alone. On each
/// of these the configuration file gives way to what was tuned since.
public struct TuningTable: Sendable {
  /// As `Tunable` reads them.
  public typealias Values = [Tunable: String]

  /// For all is `nil`.
  public typealias Overrides = [TuningPeer?: Values]

  /// Peers that may have settings of their own: some kilobytes each.
  public static let peersLimit = 1024

  private let flags: AdaptationSettings
  private let flagged: Set<Tunable>
  /// What a receiver asks for without being told: limits that were given as flags.
  private let givenLimits: Values
  public private(set) var file: Overrides = [:]
  public private(set) var tuned: Overrides = [:]

  /// - Parameter flags: what the command line says.
  public init(flags: [Setting]) throws(TunableError) {
    var settings = AdaptationSettings()
    for flag in flags { try settings.set(flag.name, to: flag.value) }
    self.flags = settings
    flagged = Set(flags.compactMap { Tunable(rawValue: $0.name) })
    var limits = Values()
    for flag in flags {
      if let tunable = Tunable(rawValue: flag.name), tunable.isLimit { limits[tunable] = flag.value }
    }
    givenLimits = limits
    try self.settings(for: nil).check()
  }

  // MARK: What holds

  /// Of a sender to `peer`; `nil`: to whom nothing of its own is set for.
  public func settings(for peer: TuningPeer?) -> AdaptationSettings {
    var settings = flags
    for (tunable, text) in values(for: peer) {
      // Checked when it was set.
      try? settings.set(tunable, to: text)
    }
    settings.fitDefaults(except: given(for: peer))
    return settings
  }

  /// What an operator has said something of, whatever it says: no receiver's wish overrules it.
  public func given(for peer: TuningPeer?) -> Set<Tunable> { flagged.union(values(for: peer).keys) }

  /// What a receiver asks its sender for: what was set here, and limits of the flags. (A sender's own choice is
  /// not overruled by what this server does when it sends.)
  public func wishes(for peer: TuningPeer?) -> [Setting] {
    Self.settings(of: givenLimits.merging(values(for: peer)) { $1 })
  }

  /// What is set for `peer` itself, or for all.
  public func settings(setFor peer: TuningPeer?) -> [Setting] { Self.settings(of: ownValues(of: peer)) }

  /// Those that have settings of their own.
  public var peers: [TuningPeer] {
    Set(file.keys).union(tuned.keys).compactMap(\.self).filter { !ownValues(of: $0).isEmpty }.sorted()
  }

  /// What is set in vain, for all or for a peer.
  public var idle: [Contradiction] {
    ([nil] + peers).compactMap { peer in
      let own = ownValues(of: peer).keys.sorted { $0.rawValue < $1.rawValue }
      return settings(for: peer).idle(among: own).map { Contradiction(peer: peer, error: $0) }
    }
  }

  private func values(for peer: TuningPeer?) -> Values {
    var values = ownValues(of: nil)
    for place in [peer?.wholeHost, peer].compactMap(\.self) {
      values.merge(ownValues(of: place)) { $1 }
    }
    return values
  }

  private func ownValues(of peer: TuningPeer?) -> Values {
    (file[peer] ?? [:]).merging(tuned[peer] ?? [:]) { $1 }
  }

  private static func settings(of values: Values) -> [Setting] {
    Tunable.allCases.compactMap { tunable in
      values[tunable].map { Setting(name: tunable.rawValue, value: $0) }
    }
  }

  // MARK: Changing

  /// What is set contradicts itself, the flags or what was tuned since.
  public struct Contradiction: Error, Hashable, Sendable, CustomStringConvertible {
    public var peer: TuningPeer?
    public var error: TunableError

    public var description: String { peer.map { "for \($0): \(error)" } ?? "\(error)" }
  }

  /// Does all of it or nothing. A reset undoes what was tuned: what the file says of it holds again.
  public mutating func apply(_ change: TuningChange) throws(TunableError) {
    var changed = self
    changed.undo(change)
    if !change.values.isEmpty { changed.tuned[change.peer, default: [:]].merge(change.values) { $1 } }
    try changed.check(change.peer)
    self = changed
  }

  /// What was tuned for single connections that are not open any more holds for nobody.
  public mutating func forgetTuned(except isOpen: (TuningPeer) -> Bool) {
    for case let peer? in tuned.keys where peer.port != nil && !isOpen(peer) { tuned[peer] = nil }
  }

  /// What the file says now.
  /// - Parameter persisted: what the file was changed by, in place of what was tuned.
  public mutating func replace(
    file: Overrides, persisted: [TuningChange] = []
  ) throws(Contradiction) {
    var changed = self
    changed.file = file
    for change in persisted { changed.undo(change) }
    for peer in [nil] + changed.peers {
      do throws(TunableError) {
        try changed.settings(for: peer).check()
      } catch {
        throw Contradiction(peer: peer, error: error)
      }
    }
    self = changed
  }

  /// Leaves nothing tuned of what the change names.
  private mutating func undo(_ change: TuningChange) {
    for peer in change.resetsPeers ? Array(tuned.keys) : [change.peer] {
      for tunable in change.reset { tuned[peer]?[tunable] = nil }
    }
    for tunable in change.values.keys { tuned[change.peer]?[tunable] = nil }
    tuned = tuned.filter { !$0.value.isEmpty }
  }

  /// All that was tuned, as changes that would bring it about.
  public var changes: [TuningChange] {
    tuned.map { TuningChange(peer: $0, values: $1, reset: []) }
  }

  /// For all: also whether it contradicts what is set for single peers.
  private func check(_ changed: TuningPeer?) throws(TunableError) {
    try settings(for: changed).check()
    for peer in peers where changed.map({ $0.covers(peer) }) ?? true {
      do throws(TunableError) {
        try settings(for: peer).check()
      } catch {
        throw TunableError(error.tunable, "\(Contradiction(peer: peer, error: error))")
      }
    }
  }
}

/// What is set, and what is set back, for all or for one peer.
public struct TuningChange: Hashable, Sendable {
  public var peer: TuningPeer?
  /// As `AdaptationSettings` writes them.
  public var values: [Tunable: String]
  public var reset: [Tunable]
  /// What is reset is it for single peers too.
  public var resetsPeers = false

  /// In place of a name among those to reset: all of them, and where that is for all peers, for single ones too.
  public static let everything = "all"

  init(peer: TuningPeer?, values: [Tunable: String], reset: [Tunable]) {
    (self.peer, self.values, self.reset) = (peer, values, reset)
  }

  /// Names and values as they come from outside.
  /// - Throws: what is wrong, or contradicts what else is to be set, whatever holds elsewhere.
  public init(peer: TuningPeer?, settings: [Setting], reset: [String]) throws(TunableError) {
    var values: [Tunable: String] = [:]
    for setting in settings {
      let tunable = try Tunable(named: setting.name)
      let text = try tunable.normal(setting.value)
      if let earlier = values.updateValue(text, forKey: tunable), earlier != text {
        throw TunableError(tunable, "\(tunable.rawValue) is to be \(earlier) and to be \(text)")
      }
    }
    _ = try AdaptationSettings.checked(settings)
    var names: [Tunable] = []
    let isEverything = reset.contains(Self.everything)
    for name in isEverything ? Tunable.allCases.map(\.rawValue) : reset {
      let tunable = try Tunable(named: name)
      guard values[tunable] == nil else {
        throw TunableError(tunable, "\(name) is to be set and to be reset")
      }
      names.append(tunable)
    }
    self.init(peer: peer, values: values, reset: names)
    resetsPeers = isEverything && peer == nil
  }

  public var isEmpty: Bool { values.isEmpty && reset.isEmpty }
}

extension Tunable {
  /// - Throws: which there are.
  public init(named name: String) throws(TunableError) {
    guard let tunable = Tunable(rawValue: name) else {
      let names = Tunable.allCases.map(\.rawValue).joined(separator: ", ")
      throw TunableError(nil, "there is no tunable '\(name)': they are \(names)")
    }
    self = tunable
  }

  /// One value's usual text.
  public func normal(_ text: String) throws(TunableError) -> String {
    var settings = AdaptationSettings()
    try settings.set(self, to: text)
    return settings.text(of: self)
  }

  /// What a receiver may ask for without overruling how its sender goes about it.
  var isLimit: Bool {
    switch self {
    case .chunkMin, .chunkMax, .levelMin, .levelMax, .inflightMax, .rateMax: true
    case .policy, .chunk, .codec, .level, .window, .growth, .backoff, .rttThreshold, .lossThreshold,
      .congestion:
      false
    }
  }
}
