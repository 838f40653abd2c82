import StreamDiffCore
import StreamDiffWire
import Synchronization

/// Sessions of a client's single writes: each is used by one call at a time, and again by the next.
final class WriteSessions: Sendable {
  struct Place: Sendable {
    var session: SessionID
    var ordinal: Ordinal
  }

  private let free = Mutex<[Place]>([])

  /// Where the next write goes: the first of a new session when all others are in use.
  func take() -> Place {
    free.withLock { $0.popLast() } ?? Self.new()
  }

  static func new() -> Place { Place(session: .random(), ordinal: Ordinal(1)) }

  /// The write was answered. (One that was not leaves its session for good.)
  func decided(_ place: Place) {
    free.withLock { $0.append(Place(session: place.session, ordinal: place.ordinal + 1)) }
  }
}

/// What a failed attempt to write says about the write.
enum WriteAttempt {
  /// It was answered: it has not and will not be applied.
  case refused
  /// It did not get there.
  case notSent
  /// It may have been applied.
  case unsure
  /// The session is not known any more: this attempt was not applied.
  case expired

  init(_ error: RPCError) {
    switch error {
    case .unreachable: self = .notSent
    case .lost: self = .unsure
    case .status(let status, _):
      switch status.code {
      case .invalidArgument, .failedPrecondition, .aborted, .unimplemented, .permissionDenied,
        .unauthenticated, .notFound, .outOfRange, .alreadyExists:
        self = error.sessionEnd == .expired ? .expired : .refused
      default: self = error.isNotApplied ? .notSent : .unsure
      }
    }
  }
}
