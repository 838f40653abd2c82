import ArgumentParser
import Glibc
import StreamDiffService

/// How commands end.
enum Exit {
  static let failed = ExitCode(1)
  static let verification = ExitCode(3)
  static let unreachable = ExitCode(4)
  static let refused = ExitCode(5)

  /// For `--help`.
  static let table = """
    Exit codes: 0 done, 1 failed, 3 verification failed, 4 unreachable, or unknown whether it was done, \
    5 refused (rights, limits), 64 wrong usage; 130 and 143 after SIGINT and SIGTERM, 141 when nobody reads \
    standard output any more.
    """

  /// As below, for a write: `--json` tells in its own words of one whose outcome nobody knows.
  static func because(of error: any Error, json: Bool) -> ExitCode {
    if json, let failure = error as? ClientFailure, failure.kind == .unknown {
      Output.print(JSON.object([("outcome", "unknown"), ("reason", .string(failure.detail))]).text)
    }
    return because(of: error)
  }

  /// Says on stderr what went wrong and ends the command.
  static func because(of error: any Error) -> ExitCode {
    if let code = error as? ExitCode { return code }
    let failure = ClientFailure(error)
    Output.complain(failure.detail)
    return switch failure.kind {
    case .failed: failed
    case .verification: verification
    case .unreachable, .unknown: unreachable
    case .refused: refused
    }
  }
}
