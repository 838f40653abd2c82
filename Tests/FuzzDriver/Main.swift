import Fuzzing
import Glibc

/// What tools/fuzz starts: one process for each entry point, so that a crash takes only itself down.
///
///     fuzz-driver list
///     fuzz-driver run NAME --share FILE [--executions N] [--cpu-seconds N] [--seed S]
///     fuzz-driver replay NAME FILE…
///     fuzz-driver seeds NAME DIRECTORY
///     fuzz-driver libfuzzer NAME ARGUMENT…      in a build with -sanitize=fuzzer -DLIBFUZZER
///
/// Exit codes: 0 well, 3 a law is broken (standard error says which), 64 wrong usage; anything else
/// is the crash itself.
@main enum Main {
  static func main() {
    var arguments = Array(CommandLine.arguments.dropFirst())
    guard !arguments.isEmpty else { usage() }
    let command = arguments.removeFirst()
    if command == "list" {
      for entry in EntryPoints.all + EntryPoints.live { print(entry.name) }
      return
    }
    guard !arguments.isEmpty, let entry = EntryPoints.named(arguments.removeFirst()) else { usage() }
    switch command {
    case "run": run(entry, Options(arguments))
    case "replay": for path in arguments { replay(entry, path) }
    case "seeds":
      guard arguments.count == 1 else { usage() }
      writeSeeds(of: entry, to: arguments[0])
    #if LIBFUZZER
      case "libfuzzer": LibFuzzer.run(entry, arguments)
    #endif
    default: usage()
    }
  }

  static func usage() -> Never { leave(64, "usage: fuzz-driver list | run | replay | seeds; see the source") }

  static func leave(_ code: Int32, _ words: String) -> Never {
    fputs(words + "\n", stderrFile())
    exit(code)
  }

  private static func stderrFile() -> UnsafeMutablePointer<FILE>? { fdopen(2, "w") }

  // MARK: Commands

  struct Options {
    var share = ""
    var executions = UInt64.max
    var cpuSeconds = Double.infinity
    var seed: UInt64 = 1

    init(_ arguments: [String]) {
      var rest = arguments[...]
      while let name = rest.popFirst() {
        guard let value = rest.popFirst() else { usage() }
        switch name {
        case "--share": share = value
        case "--executions": executions = UInt64(value) ?? 0
        case "--cpu-seconds": cpuSeconds = Double(value) ?? 0
        case "--seed": seed = UInt64(value) ?? 0
        default: usage()
        }
      }
    }
  }

  private static func run(_ entry: EntryPoint, _ options: Options) {
    let share = SharedPage(options.share)
    var campaign = Campaign(entry, found: FoundInputs.of(entry).map(\.bytes), seed: options.seed)
    var executions: UInt64 = 0
    let start = cpuNanoseconds()
    var before = start
    while executions < options.executions, Double(before - start) < options.cpuSeconds * 1e9 {
      let input = campaign.next()
      share.begin(input)
      campaign.saw(observed(entry, input), of: input)
      executions += 1
      let now = cpuNanoseconds()
      share.ended(executions, nanoseconds: now - before, observations: campaign.observations)
      before = now
    }
  }

  private static func observed(_ entry: EntryPoint, _ input: [UInt8]) -> UInt64 {
    do {
      return try entry.run(input)
    } catch {
      leave(3, "law broken: \(error)")
    }
  }

  private static func replay(_ entry: EntryPoint, _ path: String) {
    guard let file = fopen(path, "r") else { leave(66, "\(path): cannot be read") }
    var input: [UInt8] = []
    while case let byte = fgetc(file), byte >= 0 { input.append(UInt8(byte)) }
    fclose(file)
    let start = cpuNanoseconds()
    _ = observed(entry, input)
    print("\(path): \(input.count) bytes, nothing wrong, \((cpuNanoseconds() - start) / 1000) µs")
  }

  private static func writeSeeds(of entry: EntryPoint, to directory: String) {
    let inputs = entry.seeds() + FoundInputs.of(entry).map(\.bytes)
    for (place, seed) in inputs.enumerated() {
      guard let file = fopen("\(directory)/seed-\(place)", "w") else {
        leave(66, "\(directory): cannot be written")
      }
      fwrite(seed, 1, seed.count, file)
      fclose(file)
    }
  }

  /// Of this thread, so that other processes on the machine do not count.
  private static func cpuNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
