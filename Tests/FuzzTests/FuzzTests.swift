import Foundation
public import Fuzzing
public import Testing

@Suite("Bytes from outside")
struct FuzzTests {
  /// For each entry point, in `tools/test`; `tools/fuzz` runs millions.
  static let executions = 5_000

  @Test("never harm, from seeded samples on", arguments: EntryPoints.all)
  func mutated(entry: EntryPoint) async {
    let (observations, broken) = await onThread { () -> (Int, String?) in
      var campaign = Campaign(entry, found: FoundInputs.of(entry).map(\.bytes), seed: 1)
      for _ in 0..<Self.executions / entry.cost {
        let input = campaign.next()
        do throws(LawBroken) {
          campaign.saw(try entry.run(input), of: input)
        } catch {
          return (0, "\(error)\ninput, in base64: \(Data(input).base64EncodedString())")
        }
      }
      return (campaign.observations, nil)
    }
    if let broken { Issue.record("\(entry.name): \(broken)") }
    #expect(
      broken != nil || observations > 1,
      "whatever the input, the same happens: the entry point is no test")
  }

  @Test("valid samples are understood", arguments: EntryPoints.all)
  func seeds(entry: EntryPoint) async throws {
    let seeds = entry.seeds()
    for seed in seeds {
      #expect(seed.count <= entry.maximumBytes, "\(entry.name): a seed is longer than the inputs made of it")
    }
    try await onThread { () -> Result<Void, any Error> in
      Result { for seed in seeds { _ = try entry.run(seed) } }
    }.get()
  }

  @Test("the same seed makes the same inputs")
  func replayable() {
    let entry = EntryPoints.all[0]
    var (one, other) = (Campaign(entry, seed: 7), Campaign(entry, seed: 7))
    for _ in 0..<200 { #expect(one.next() == other.next()) }
  }

  @Test("what once did harm belongs to an entry point")
  func found() {
    for folder in FoundInputs.folders {
      #expect(EntryPoints.named(folder) != nil, "Found/\(folder) names no entry point: nothing reads it")
    }
  }
}

/// Runs `body` on a thread of its own: an execution may wait for what others do, and the threads of tasks, one for each
/// core, are not there to be held.
private func onThread<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
  await withCheckedContinuation { continuation in
    Thread.detachNewThread { continuation.resume(returning: body()) }
  }
}

extension EntryPoint: CustomTestStringConvertible {
  public var testDescription: String { name }
}
