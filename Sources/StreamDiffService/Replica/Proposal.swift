public import StreamDiffCore
public import StreamDiffStorage

/// What a proposal became: applied at its index.
public struct Applied: Sendable {
  public let index: LogIndex
  public let outcome: StateMachine.Outcome
  /// The state exactly at `index`, where the proposal asked for it.
  public let view: StateView?
}

/// Called once, on a thread of the replica: it must not block.
public typealias ProposalCompletion = @Sendable (Result<Applied, ReplicaError>) -> Void

/// A command on its way through the log.
struct Proposal: Sendable {
  let command: Command
  /// The encoded command, as the log keeps it.
  let payload: [UInt8]
  /// The answer carries a view of the state right after this command.
  let wantsView: Bool
  let completion: ProposalCompletion
}

/// A committed entry on its way to the state. Replayed entries have nobody who waits.
struct CommittedEntry: Sendable {
  let index: LogIndex
  let term: Term
  let command: Command
  let bytes: Int
  let wantsView: Bool
  let completion: ProposalCompletion?
}
