import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

/// Why a command did not do what it was asked to, by what its caller can do about it.
public struct ClientFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// It was tried and did not work.
    case failed
    /// Bytes are not what they should be.
    case verification
    /// No server answers there, or it went away.
    case unreachable
    /// It was sent, and no answer came in time: it may have been done or not.
    case unknown
    /// The server or this program refuses: rights, limits, rules.
    case refused
  }

  /// What its caller may want to tell apart.
  public enum Reason: Sendable {
    case tooManyDeletions
    /// The server is connected and does not answer.
    case silent
  }

  public let kind: Kind
  public let detail: String
  /// Whether the same attempt may succeed when it is made again.
  public let isTransient: Bool
  public let reason: Reason?

  public init(_ kind: Kind, _ detail: String, isTransient: Bool = false, reason: Reason? = nil) {
    (self.kind, self.detail, self.isTransient, self.reason) = (kind, detail, isTransient, reason)
  }

  public var description: String { detail }

  /// Sorts any error that this module throws.
  public init(_ error: any Error) {
    switch error {
    case let error as ClientFailure: self = error
    case let error as RPCError: self.init(rpc: error)
    case let error as GRPCStatus: self.init(status: error)
    case let error as AdapterError:
      let isRefusal = error.code == .tooLarge || error.code == .refused
      self.init(isRefusal ? .refused : .failed, "\(error)")
    case let error as SyncFailure: self.init(sync: error)
    case let error as SyncError: self.init(sync: error)
    case let error as StorageError: self.init(storage: error)
    case let error as ReplicaError: self.init(error.isDamage ? .verification : .failed, error.detail)
    case let error as WireError:
      self.init(.failed, "an answer of the server cannot be read: \(error.detail)")
    case is CancellationError: self.init(.failed, "interrupted")
    default: self.init(.failed, "\(error)")
    }
  }

  private init(storage error: StorageError) {
    switch error.code {
    case .damaged: self.init(.verification, "\(error)")
    case .locked, .newerFormat, .foreign: self.init(.refused, "\(error)")
    default: self.init(.failed, "\(error)")
    }
  }

  private init(rpc error: RPCError) {
    switch error {
    case .unreachable, .lost: self.init(.unreachable, printable("\(error)".utf8), isTransient: true)
    case .status(let status, _): self.init(status: status)
    }
  }

  private init(status: GRPCStatus) {
    // A server need not say more than the code; whoever answers there must not drive a terminal.
    let detail = status.message.isEmpty ? "\(status)" : printable(status.message.utf8)
    switch status.code {
    case .unavailable: self.init(.unreachable, detail, isTransient: true)
    case .deadlineExceeded: self.init(.unreachable, detail, isTransient: true, reason: .silent)
    case .dataLoss: self.init(.verification, detail, isTransient: true)
    case .permissionDenied, .unauthenticated, .resourceExhausted, .failedPrecondition:
      self.init(.refused, detail)
    default: self.init(.failed, detail)
    }
  }

  private init(sync error: SyncFailure) {
    switch error.code {
    case .endedEarly: self.init(.unreachable, error.detail, isTransient: true)
    case .tooManyDeletions:
      self.init(
        .refused, "\(error.detail); --delete-anyway allows it", reason: .tooManyDeletions)
    case .sourceChanged, .sourceFailed, .sinkFailed, .inTheWay: self.init(.failed, error.detail)
    }
  }

  private init(sync error: SyncError) {
    switch error.code {
    case .dataLoss: self.init(.verification, error.detail, isTransient: true)
    case .limit, .refused: self.init(.refused, error.detail)
    case .protocolViolation, .unsupported, .resources, .sessionExpired, .sessionSuperseded:
      self.init(.failed, error.detail)
    }
  }
}
