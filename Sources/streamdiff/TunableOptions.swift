import ArgumentParser
import StreamDiffCore

/// The adaptive controller's tunables as flags: `Tunable` has their names and ranges.
struct TunableOptions: ParsableArguments {
  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "How the sender adapts: `model` takes what promises the highest goodput, `threshold` steps at a round-trip time and a loss rate, `fixed` does what --chunk and --level say. (default: model)",
      valueName: "model|threshold|fixed"))
  var policy: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("Least plain bytes of a chunk. (default: 512)", valueName: "bytes"))
  var chunkMin: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("Most plain bytes of a chunk, up to 1MiB. (default: 64KiB)", valueName: "bytes"))
  var chunkMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("With `fixed`: plain bytes of a chunk. (default: 64KiB)", valueName: "bytes"))
  var chunk: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "`auto`: zstd, and none where it does not pay. (default: auto)", valueName: "auto|none|zstd"))
  var codec: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("With `fixed`: zstd's level, -7 to 19. (default: 1)", valueName: "level"))
  var level: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("The lowest level. (default: -7)", valueName: "level"))
  var levelMin: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp("The highest level, up to 19. (default: 12)", valueName: "level"))
  var levelMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "How far back loss and rates are looked at, 1s to 8s. (default: 2s)", valueName: "time"))
  var adaptiveWindow: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "With `threshold`: by what a chunk grows, 1.1 to 4. (default: 1.5)", valueName: "factor"))
  var growth: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "With `threshold`: by what a chunk shrinks, 0.5 to 0.9. (default: 0.7)", valueName: "factor"))
  var backoff: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "With `threshold`: a round-trip time from here on shrinks chunks. (default: 50ms)", valueName: "time"))
  var rttThreshold: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "With `threshold`: a loss rate from here on shrinks chunks. (default: 0.5%)", valueName: "percent"))
  var lossThreshold: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Plain bytes that may be unacknowledged, beside the receiver's own limit. (default: 64MiB)",
      valueName: "bytes"))
  var inflightMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "Bytes per second of content that each session sends at most, compressed and with its headers, as 12MB or 100Mbit; comparing is not counted. (default: none)",
      valueName: "rate"))
  var rateMax: String?

  @Option(
    name: .long, parsing: .unconditional,
    help: ArgumentHelp(
      "The kernel's congestion control. `auto`: the system's, and with `model` bbr where loss comes without queueing or the queue is long. (default: auto)",
      valueName: "auto|bbr|cubic"))
  var congestion: String?

  /// Those that were given.
  var given: [Setting] {
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
    return values.compactMap { tunable, value in value.map { Setting(name: tunable.rawValue, value: $0) } }
  }

  /// The defaults, and what was given.
  /// - Throws: what was wrong, or what contradicts what.
  func settings() throws(ValidationError) -> AdaptationSettings {
    var settings = AdaptationSettings()
    do throws(TunableError) {
      try settings.apply(given.map { ($0.name, $0.value) })
    } catch {
      throw ValidationError("--\(error.detail)")
    }
    return settings
  }

  func validate() throws { _ = try settings() }
}
