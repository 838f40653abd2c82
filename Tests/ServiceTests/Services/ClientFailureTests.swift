import StreamDiffService
import StreamDiffWire
import Testing

@Suite struct ClientFailureTests {
  @Test(
    "what a server says is shown and cannot drive a terminal",
    arguments: [GRPCStatusCode.unavailable, .dataLoss, .resourceExhausted, .unknown])
  func message(code: GRPCStatusCode) {
    let failure = ClientFailure(GRPCStatus(code, "caf\u{e9} \u{1b}[2J\u{9b}31m\r\nstreamdiff: done"))
    #expect(failure.detail == "caf\u{e9} \\x1b[2J\\xc2\\x9b31m\\x0d\\x0astreamdiff: done")
  }
}
