import StreamDiffCore
import StreamDiffStorage
import StreamDiffWire

extension GRPCStatus {
  /// The status that tells a caller what it can do about `error`.
  init(mapping error: any Error) {
    switch error {
    case let error as GRPCStatus: self = error
    case let error as RPCError: self = error.status
    case let error as ReplicaError: self.init(error)
    case let error as StorageError: self.init(error)
    case let error as SyncError: self.init(error)
    case let error as SyncFailure: self.init(error)
    case let error as WireError: self.init(error)
    case let error as OperationError: self.init(.invalidArgument, error.detail)
    case is CancellationError: self.init(.cancelled, "the call was cancelled")
    default: self.init(.unknown, "\(error)")
    }
  }

  init(_ error: ReplicaError) {
    switch error.code {
    case .overloaded, .readOnly: self.init(.resourceExhausted, error.detail)
    case .unavailable: self.init(.unavailable, error.detail)
    case .damaged: self.init(.dataLoss, error.detail)
    case .uncertain: self.init(.unavailable, "\(error.detail); whether the change was made is unknown")
    case .tooLarge: self.init(.invalidArgument, error.detail)
    }
  }

  init(_ error: StorageError) {
    switch error.code {
    case .damaged: self.init(.dataLoss, "\(error)")
    case .noSpace: self.init(.resourceExhausted, "\(error)")
    case .tooLarge: self.init(.invalidArgument, "\(error)")
    case .notFound: self.init(.notFound, "\(error)")
    case .io, .locked, .newerFormat, .foreign, .unwritable, .closed, .notCached:
      self.init(.unavailable, "\(error)")
    }
  }

  init(_ error: SyncError) {
    switch error.code {
    case .protocolViolation: self.init(.invalidArgument, error.detail)
    case .dataLoss: self.init(.dataLoss, error.detail)
    case .limit, .resources: self.init(.resourceExhausted, error.detail)
    case .unsupported: self.init(.unimplemented, error.detail)
    case .refused: self.init(.failedPrecondition, error.detail)
    case .sessionExpired, .sessionSuperseded: self.init(.aborted, error.detail)
    }
  }
}

/// What tells a client why a session was ABORTED: metadata beside the status.
enum SessionEnd: String {
  static let name = "streamdiff-session"

  case expired
  case superseded

  init?(_ error: SyncError) {
    switch error.code {
    case .sessionExpired: self = .expired
    case .sessionSuperseded: self = .superseded
    default: return nil
    }
  }

  var metadata: Metadata { Metadata(fields: [HeaderField(Self.name, rawValue)]) }
}

extension ReplicaError {
  /// The log has not seen the command.
  fileprivate var isBeforeProposal: Bool {
    switch code {
    case .unavailable, .overloaded, .readOnly, .tooLarge: true
    case .damaged, .uncertain: false
    }
  }
}

extension RPCError {
  /// As `GRPCStatus(mapping:)`, with what a client needs beside the status.
  init(mapping error: any Error) {
    let trailers =
      switch error {
      case let error as SyncError: SessionEnd(error)?.metadata
      case let error as ReplicaError where error.isBeforeProposal: Self.notApplied
      case let error as SyncError where error.code == .limit: Self.notApplied
      case let error as RPCError: error.trailers
      default: Metadata?.none
      }
    self = .status(GRPCStatus(mapping: error), trailers: trailers ?? Metadata())
  }

  /// Beside UNAVAILABLE and RESOURCE_EXHAUSTED: nothing happened here. Without it, it may have.
  static let notApplied = Metadata(fields: [HeaderField("streamdiff-applied", "no")])

  /// The server vouches that the call took no effect.
  var isNotApplied: Bool { trailers["streamdiff-applied"] == "no" }

  /// Why a session was aborted, where that is so.
  var sessionEnd: SessionEnd? { trailers[SessionEnd.name].flatMap { SessionEnd(rawValue: $0) } }
}

extension GRPCStatus {
  init(_ error: SyncFailure) {
    switch error.code {
    case .sourceChanged, .tooManyDeletions, .inTheWay: self.init(.aborted, error.detail)
    case .sourceFailed, .sinkFailed: self.init(.internal, error.detail)
    case .endedEarly: self.init(.cancelled, error.detail)
    }
  }
}
