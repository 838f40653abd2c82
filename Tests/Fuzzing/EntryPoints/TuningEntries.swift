import StreamDiffCore
import StreamDiffService

extension EntryPoints {
  /// What operators write, and traces that come from elsewhere.
  static let tuning = [tunablesFile, traceLine]

  static let tunablesFile = EntryPoint(
    "tunables-file", shape: .lines, dictionary: TuningSamples.words, seeds: { TuningSamples.files }
  ) { input, seen in
    var file: TunablesFile
    do throws(TunablesFile.Problem) {
      file = try TunablesFile(input)
    } catch {
      let lines = input.count { $0 == UInt8(ascii: "\n") } + 1
      try require(1...lines ~= error.line, "line \(error.line) of \(lines)")
      return seen.note(String(error.detail.prefix(16)))
    }
    seen.note(count: file.values.count)
    let before = file.values.filter { !$0.value.isEmpty }
    var table = try TuningTable(flags: [])
    do throws(TuningTable.Contradiction) {
      try table.replace(file: file.values)
      seen.note(count: table.peers.count)
    } catch {
      let lines = input.count { $0 == UInt8(ascii: "\n") } + 1
      let line = file.line(of: error.error.tunable, for: error.peer)
      // The table is new: nothing but the file can have a part in it.
      try require(line.map { 1...lines ~= $0 } ?? false, "a contradiction in line \(line ?? 0) of \(lines)")
      seen.note(error.error.detail)
    }
    try require(
      (try? TunablesFile(file.bytes))?.values.filter { !$0.value.isEmpty } == before,
      "the file is another when written")
    // One value more, and one less.
    for peer in [nil, TuningPeer("10.0.0.1:1")] + Array(file.values.keys.prefix(3)) {
      var changed = file
      changed.apply(
        try TuningChange(peer: peer, settings: [Setting(name: "growth", value: "2.5")], reset: ["chunk-max"]))
      let again = try? TunablesFile(changed.bytes)
      try require(
        again?.values.filter { !$0.value.isEmpty } == changed.values.filter { !$0.value.isEmpty },
        "a changed file says something else")
    }
    file.apply(try TuningChange(peer: nil, settings: [], reset: Tunable.allCases.map(\.rawValue)))
    try require(file.values[nil]?.isEmpty ?? true, "what was reset is there")
  }

  /// Lines of a trace, replayed.
  static let traceLine = EntryPoint(
    "trace-lines", shape: .lines, maximumBytes: 16 << 10, dictionary: TuningSamples.traceWords,
    seeds: { TuningSamples.traces }
  ) { input, seen in
    var replay = TraceReplay()
    for line in input.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      let made: TraceLine
      do {
        made = try Array(line).withUnsafeBytes { try TraceLine($0) }
      } catch let problem as JSONProblem {
        try require(1...line.count + 1 ~= problem.column, "column \(problem.column) of \(line.count)")
        seen.note(String(problem.reason.prefix(24)))
        continue
      }
      let again = Array(made.text.utf8)
      let other = again.withUnsafeBytes { try? TraceLine($0) }
      try require(other == made, "a line changes when it is written: \(made.text)")
      // Whatever it says, the controller takes it.
      do { try replay.receive(made) } catch { seen.note("other") }
    }
    seen.note(count: replay.decisions)
  }
}

enum TuningSamples {
  static let files = [
    "# all\nchunk-max = 32KiB # why\nlevel-max=6\n\n[peer 10.0.0.7]\nrate-max = 100Mbit\n",
    "[peer [::1]:80]\n\tpolicy = fixed\r\nchunk=4096\n[peer 2001:db8::1]\n", "", "\n\n#\n",
    "chunk-min=64KiB\nchunk-max=1KiB\n",
    "loss-threshold = 12.3%\nadaptive-window=8s\nbackoff=0.5\ngrowth=4\ncodec=none\ncongestion=bbr\n",
  ].map { Array($0.utf8) }

  static let words =
    Tunable.allCases.map { Array($0.rawValue.utf8) }
    + [
      "[peer ", "]", "=", "#", "64KiB", "1MiB", "none", "auto", "0.7", "2s", "5%", "-7", "\r\n", "1Mbit",
      "::1",
    ].map {
      Array($0.utf8)
    }

  static let traceWords = [
    #""kind":"decision""#, #""kind":"hint""#, #""time_ns":"#, "18446744073709551615", "281474976710656", "-1",
    "0",
    "true", "[[", "]]", #""none""#, #""zstd""#, #""bbr""#, #""probe":[1]"#, "72057594037927936",
  ].map { Array($0.utf8) }

  /// A short session by each policy.
  static let traces: [[UInt8]] = AdaptationSettings.Policy.allCases.map { policy in
    var settings = AdaptationSettings()
    settings.policy = policy
    var controller = TransferController(settings)
    var hint = AdaptationHint()
    (hint.credit, hint.settings) = (64 << 20, [Setting(name: "level-max", value: "3")])
    controller.receive(hint)
    var lines = [TraceLine.settings(settings, .zero), .hint(hint, .milliseconds(2))]
    var link = LinkSample()
    (link.rtt, link.minRTT, link.congestion) = (.milliseconds(20), .milliseconds(19), .bbr)
    for step in 1...5 {
      var observation = StreamDiffCore.Observation()
      observation.time = .milliseconds(50 * step)
      link.bytesSent += 500_000
      link.bytesAcknowledged = link.bytesSent - 100_000
      (link.deliveryRate, link.bytesNotSent) = (10_000_000, 60_000)
      observation.link = link
      observation.encoding = ChunkEncoding(codec: .zstd, level: 1)
      (observation.chunks, observation.plainBytes, observation.payloadBytes) = (20, 1_300_000, 500_000)
      (observation.encodeTime, observation.sendWait) = (.milliseconds(5), .milliseconds(30))
      (observation.acknowledgedBytes, observation.bytesInFlight) = (1_200_000, 2_000_000)
      if step == 3 {
        observation.probes = [
          CodecProbeResult(level: 1, plainBytes: 65536, payloadBytes: 20000, time: .microseconds(300)),
          CodecProbeResult(level: 3, plainBytes: 65536, payloadBytes: 18000, time: .microseconds(600)),
        ]
      }
      lines.append(.decision(observation, controller.receive(observation)))
    }
    return Array(lines.map { $0.text + "\n" }.joined().utf8)
  }
}
