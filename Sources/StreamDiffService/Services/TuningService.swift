import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// `streamdiff.v1.Tuning`: tunables read and changed while the server runs.
struct TuningService: Sendable {
  static let name = "streamdiff.v1.Tuning"

  let tuning: ServerTuning
  let pool: ReadPool

  var router: RPCRouter { RPCRouter(["/\(Self.name)/Get": .unary(get), "/\(Self.name)/Set": .unary(set)]) }

  @Sendable private func get(_ call: UnaryCall) {
    do {
      let request = try GetTuningRequest(decoding: call.request)
      call.respond(Self.answer(tuning.table, try Self.peer(request.peer)).encode())
    } catch {
      call.fail(Self.status(error))
    }
  }

  /// On a thread that may wait for the disk.
  @Sendable private func set(_ call: UnaryCall) {
    do {
      let request = try SetTuningRequest(decoding: call.request)
      let change = try TuningChange(
        peer: try Self.peer(request.peer), settings: request.settings, reset: request.reset)
      let isTaken = pool.submit {
        do {
          let reached = try tuning.apply(change, isPersistent: request.isPersistent, caller: call.peer)
          var answer = Self.answer(tuning.table, change.peer)
          answer.sessions = UInt32(clamping: reached)
          call.respond(answer.encode())
        } catch {
          call.fail(Self.status(error))
        }
      }
      guard isTaken else { throw GRPCStatus(.resourceExhausted, "too many calls wait: try again later") }
    } catch {
      call.fail(Self.status(error))
    }
  }

  /// - Returns: `nil` for all.
  private static func peer(_ text: String) throws(GRPCStatus) -> TuningPeer? {
    if text.isEmpty { return nil }
    guard let peer = TuningPeer(text) else {
      throw GRPCStatus(
        .invalidArgument, "'\(printable(text.utf8))' is not \(TuningPeer.form)")
    }
    return peer
  }

  private static func answer(_ table: TuningTable, _ peer: TuningPeer?) -> TuningResponse {
    let settings = table.settings(for: peer)
    var answer = TuningResponse(
      settings: Tunable.allCases.map { Setting(name: $0.rawValue, value: settings.text(of: $0)) })
    if peer == nil {
      answer.peers = table.peers.map { .init(peer: $0.description, settings: table.settings(setFor: $0)) }
    }
    return answer
  }

  private static func status(_ error: any Error) -> GRPCStatus {
    switch error {
    case let error as TunableError: GRPCStatus(.invalidArgument, printable(error.detail.utf8))
    // An operator changed the file since, and not well: nobody's argument is at fault.
    case let error as TunablesFileError: GRPCStatus(.failedPrecondition, "\(error)")
    // What was to be kept is not: the caller may do without, and trying again changes nothing.
    case let error as StorageError where error.code == .io || error.code == .unwritable:
      GRPCStatus(.failedPrecondition, "not done, since it cannot be kept: \(error)")
    case TuningRefusal.notConnected(let peer):
      GRPCStatus(
        .failedPrecondition,
        "no connection from \(peer) is open: set it for its address, or persist it for a connection to come")
    case TuningRefusal.tooManyPeers:
      GRPCStatus(
        .resourceExhausted,
        "\(TuningTable.peersLimit) peers have settings of their own: reset those that need none any more")
    default: GRPCStatus(mapping: error)
    }
  }
}
