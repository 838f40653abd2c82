import ArgumentParser
import Glibc
import StreamDiffCore
import StreamDiffService

/// What every client command takes.
struct ServerOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Where servers listen; the first that answers is used, the next when it stops to. Also STREAMDIFF_SERVER.",
      valueName: "host:port[,host:port…]"))
  var server: String?

  @Flag(name: .long, help: "Send in clear text beyond this machine.")
  var insecure = false

  @Flag(name: .long, help: "Print the answer as one JSON object.")
  var json = false

  func validate() throws { _ = try addresses() }

  /// - Parameter first: the place in the list to begin at.
  /// - Throws: `.refused` for an address beyond this machine without `--insecure`.
  func connect(from first: Int = 0) async throws(ClientFailure) -> StreamDiffClient {
    let addresses: [ServerAddress]
    do { addresses = try self.addresses() } catch { throw ClientFailure(.failed, "\(error)") }
    if !insecure, let far = addresses.first(where: { !$0.isLoopback }) {
      throw ClientFailure(
        .refused, "\(far) is beyond this machine and would be spoken to in clear text: --insecure allows it")
    }
    return try await StreamDiffClient.connect(addresses, from: first)
  }

  /// How many servers there are to try.
  var count: Int { (try? addresses().count) ?? 1 }

  private func addresses() throws(ValidationError) -> [ServerAddress] {
    let text = server ?? getenv("STREAMDIFF_SERVER").map { String(cString: $0) } ?? "127.0.0.1"
    var addresses: [ServerAddress] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let address = ServerAddress(part), address.port > 0 else {
        throw ValidationError(ServerAddress.fault(of: part))
      }
      addresses.append(address)
    }
    return addresses
  }
}

/// For commands about one keyspace.
struct KeyspaceOptions: ParsableArguments {
  @Option(name: .long, help: "The keyspace: 1 to 128 of A-Z a-z 0-9 . _ -")
  var keyspace = "default"

  func validate() throws {
    guard !keyspace.isEmpty, KeyspaceName(keyspace) != nil else {
      throw ValidationError("'\(keyspace)' is no keyspace name: 1 to 128 of A-Z a-z 0-9 . _ -")
    }
  }

  var name: KeyspaceName { KeyspaceName(keyspace) ?? .default }
}

/// - Returns: the bytes of a key or prefix.
/// - Throws: `.refused` for more than any key may have; no server has to be asked for that.
func keyBytes(_ text: String) throws(ClientFailure) -> [UInt8] {
  let bytes = Array(text.utf8)
  guard bytes.count <= Limits.keyBytes else {
    throw ClientFailure(.refused, "a key of \(bytes.count) bytes: the limit is \(Limits.keyBytes)")
  }
  return bytes
}
