import ArgumentParser
import StreamDiffCore

/// The adaptive controller's tunables as flags: `Tunable` has their names and ranges.
struct TunableOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(
      .policy, "name",
      "How the sender adapts: `model` takes what promises the highest goodput, `threshold` steps at a round-trip time and a loss rate, `fixed` does what --chunk and --level say"
    ))
  var policy: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.chunkMin, "bytes", "Least plain bytes of a chunk"))
  var chunkMin: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.chunkMax, "bytes", "Most plain bytes of a chunk"))
  var chunkMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.chunk, "bytes", "With --policy fixed: plain bytes of a chunk"))
  var chunk: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.codec, "name", "`auto`: zstd, and none where it does not pay"))
  var codec: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.level, "level", "With --policy fixed: zstd's level"))
  var level: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.levelMin, "level", "The lowest level"))
  var levelMin: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.levelMax, "level", "The highest level"))
  var levelMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.window, "time", "How far back loss and rates are looked at"))
  var adaptiveWindow: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.growth, "factor", "With `threshold`: by what a chunk grows"))
  var growth: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.backoff, "factor", "With `threshold`: by what a chunk shrinks"))
  var backoff: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.rttThreshold, "time", "With `threshold`: a round-trip time from here on shrinks chunks"))
  var rttThreshold: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(.lossThreshold, "percent", "With `threshold`: a loss rate from here on shrinks chunks"))
  var lossThreshold: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(
      .inflightMax, "bytes",
      "Plain bytes that may be unacknowledged, beside the receiver's own limit"))
  var inflightMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(
      .rateMax, "rate",
      "Content that each session sends at most, compressed and with its headers; comparing is not counted"))
  var rateMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: Self.help(
      .congestion, "name",
      "The kernel's congestion control. `auto`: the system's, and with `model` bbr where loss comes without queueing or the queue is long"
    ))
  var congestion: String?

  /// With its range and its default.
  private static func help(_ tunable: Tunable, _ valueName: String, _ text: String) -> ArgumentHelp {
    let usual = AdaptationSettings().text(of: tunable)
    return ArgumentHelp("\(text). It takes \(tunable.values). (default: \(usual))", valueName: valueName)
  }

  private var values: [(tunable: Tunable, text: String)] {
    let values: [(Tunable, String?)] = [
      (.policy, policy),
      (.chunkMin, chunkMin),
      (.chunkMax, chunkMax),
      (.chunk, chunk),
      (.codec, codec),
      (.level, level),
      (.levelMin, levelMin),
      (.levelMax, levelMax),
      (.window, adaptiveWindow),
      (.growth, growth),
      (.backoff, backoff),
      (.rttThreshold, rttThreshold),
      (.lossThreshold, lossThreshold),
      (.inflightMax, inflightMax),
      (.rateMax, rateMax),
      (.congestion, congestion),
    ]
    return values.compactMap { tunable, value in value.map { (tunable, $0) } }
  }

  /// Those that were given.
  var given: [Setting] { values.map { Setting(name: $0.tunable.rawValue, value: $0.text) } }

  /// The defaults, and what was given.
  /// - Throws: what was wrong, or what contradicts what.
  func settings() throws(ValidationError) -> AdaptationSettings {
    var settings = AdaptationSettings()
    do throws(TunableError) {
      try settings.apply(values.map { ($0.tunable.rawValue, $0.text) })
    } catch {
      throw ValidationError("--\(error.detail)")
    }
    return settings
  }

  /// Says what was given and comes to nothing. It is not wrong: a script may change the policy and leave the rest.
  func warnOfIdle(asWishes: Bool = false) {
    let idle =
      asWishes
      ? try? AdaptationSettings.check(wishes: given)
      : (try? settings())?.idle(among: values.map(\.tunable))
    if let idle { Output.complain("--\(idle.detail)") }
  }

  /// As wishes: of what they are held against only the sender knows.
  func wishes() throws(ValidationError) -> [Setting] {
    do throws(TunableError) {
      try AdaptationSettings.check(wishes: given)
    } catch {
      throw ValidationError("--\(error.detail)")
    }
    return given
  }
}
