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
    case .overloaded: self.init(.resourceExhausted, error.detail)
    case .unavailable: self.init(.unavailable, error.detail)
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
    case .io, .locked, .newerFormat, .unwritable, .closed, .notCached: self.init(.unavailable, "\(error)")
    }
  }

  init(_ error: SyncError) {
    switch error.code {
    case .protocolViolation: self.init(.invalidArgument, error.detail)
    case .dataLoss: self.init(.dataLoss, error.detail)
    case .limit, .resources: self.init(.resourceExhausted, error.detail)
    case .unsupported: self.init(.unimplemented, error.detail)
    case .refused: self.init(.failedPrecondition, error.detail)
    }
  }
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
