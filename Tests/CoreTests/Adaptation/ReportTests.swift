import StreamDiffCore
import Testing

@Suite("what a sender reports") struct ReportTests {
  private static func observation(at seconds: Double, chunks: Int) -> Observation {
    var observation = Observation()
    observation.time = .milliseconds(Int64(seconds * 1000))
    observation.chunks = chunks
    return observation
  }

  private static func report(chunk: UInt32 = 65536, reason: String = "start", rate: UInt64 = 0)
    -> AdaptationReport
  {
    var report = AdaptationReport()
    (report.chunk, report.reason, report.wireRate) = (chunk, reason, rate)
    return report
  }

  @Test("a change is reported at once, measurements once a second while chunks leave, else nothing")
  func schedule() {
    let steps: [(at: Double, chunks: Int, report: AdaptationReport, isTaken: Bool)] = [
      (0, 0, Self.report(), true),
      (0.05, 4, Self.report(rate: 9), false),
      (0.1, 4, Self.report(chunk: 4096, rate: 9), true),
      (0.15, 4, Self.report(chunk: 4096, reason: "rate", rate: 9), true),
      (1.1, 4, Self.report(chunk: 4096, reason: "rate", rate: 8), false),
      (1.15, 0, Self.report(chunk: 4096, reason: "rate", rate: 7), false),
      (1.2, 1, Self.report(chunk: 4096, reason: "rate", rate: 6), true),
      (9, 0, Self.report(chunk: 4096, reason: "rate", rate: 0), false),
    ]
    var schedule = ReportSchedule()
    for step in steps {
      let isTaken = schedule.takes(
        step.report, after: Self.observation(at: step.at, chunks: step.chunks))
      #expect(isTaken == step.isTaken, "at \(step.at)")
    }
  }

  @Test("rates are what the network took, and that before encoding; notes stand behind the reason")
  func rates() {
    var controller = TransferController()
    for place in 1...20 {
      var observation = Self.observation(at: 0.05 * Double(place), chunks: 10)
      observation.plainBytes = 600_000
      observation.payloadBytes = 200_000
      var link = LinkSample()
      (link.rtt, link.bytesAcknowledged) = (.milliseconds(20), UInt64(place) * 250_000)
      link.bytesSent = link.bytesAcknowledged
      observation.link = link
      _ = controller.receive(observation)
    }
    let report = AdaptationReport(
      of: controller, notes: ["at rate-max", "bbr is not to be had"], unmet: ["level 12 in place of 19"])
    #expect(report.wireRate == 5_000_000)
    #expect(14_999_999...15_000_001 ~= report.plainRate)
    #expect(report.rtt == .milliseconds(20) && report.policy == "model")
    #expect(report.reason.hasSuffix("; at rate-max; bbr is not to be had; level 12 in place of 19"))
    #expect(report.unmet == "level 12 in place of 19")
  }
}
