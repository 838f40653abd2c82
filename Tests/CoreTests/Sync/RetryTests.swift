import StreamDiffCore
import Testing

@Suite("Trying again")
struct RetryTests {
  @Test("without progress it ends after about eight seconds; with progress never")
  func policy() {
    var policy = RetryPolicy()
    var waits: [Duration] = []
    while let wait = policy.failed(progress: 0) { waits.append(wait) }
    #expect(waits == RetryPolicy.waits)
    #expect(.seconds(7)...(.seconds(9)) ~= waits.reduce(.zero, +))
    #expect(policy.failed(progress: 0) == nil)
    for progress in 1...500 as ClosedRange<UInt64> {
      #expect(policy.failed(progress: progress) == waits[0])
      #expect(policy.failed(progress: progress) == waits[1])
    }
    #expect(policy.failed(progress: 3) == waits[2])  // less than before is no progress
  }
}
