import StreamDiffCore
import StreamDiffService
import Testing

@Suite struct ClientTests {
  @Test(
    "an address is HOST:PORT, [V6]:PORT, or a host with the default port",
    arguments: [
      ("127.0.0.1:80", "127.0.0.1", 80, true), ("localhost", "localhost", 7400, true),
      ("[::1]:5", "::1", 5, true),
      ("[::1]", "::1", 7400, true), ("0.0.0.0:1", "0.0.0.0", 1, false),
      ("example.org:7400", "example.org", 7400, false),
      ("127.evil.org:1", "127.evil.org", 1, false), ("127.1.2.3:0", "127.1.2.3", 0, true),
    ])
  func address(text: String, host: String, port: Int, isLoopback: Bool) throws {
    let address = try #require(ServerAddress(text))
    #expect(address == ServerAddress(host: host, port: port))
    #expect(address.isLoopback == isLoopback)
    #expect(ServerAddress(address.description) == address)
  }

  @Test(
    "what is no address is refused",
    arguments: [
      "", ":80", "host:", "host:x", "host:70000", "http://host:1", "[::1", "::1", "::1:7400", "::1:41697",
      "2001:db8::7", "[]:1", "[::1]:", "[::1]x:1",
    ])
  func noAddress(text: String) { #expect(ServerAddress(text) == nil) }

  @Test("JSON strings escape what they must")
  func json() {
    #expect(JSONText.string("a\"\\\n\u{1}é") == #""a\"\\\n\u0001é""#)
    #expect(JSONText.member("v", [0xff]) == Array(#""v_base64":"/w==""#.utf8))
  }
}
