/// A condition that did not come to hold.
struct Overdue: Error, CustomStringConvertible {
  let description: String
}

/// Returns once `condition` holds: for what no event tells. A minute is longer than any machine needs, so that a test
/// whose condition never holds fails and says which, and does not go on for ever.
func eventually(
  _ what: String, within limit: Duration = .seconds(60), _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + limit
  while !(try await condition()) {
    guard ContinuousClock.now < end else { throw Overdue(description: "after \(limit) not yet: \(what)") }
    try await Task.sleep(for: .milliseconds(2))
  }
}
