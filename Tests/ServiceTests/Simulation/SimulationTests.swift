import Foundation
import Simulator
import StreamDiffStorage
import Testing

@Suite("Simulated replica")
struct SimulationTests {
  @Test(
    "nothing acknowledged is lost, applied in part or applied twice, whatever call the crash cuts off",
    arguments: 0..<8)
  func crashes(part: Int) throws {
    for seed in Seed.chosen(count: 1000) where seed.number % 8 == UInt64(part) {
      do {
        var replica = SimulatedReplica(seed: seed)
        try replica.run(lives: 5)
      } catch {
        Issue.record("seed \(seed): \(error); \(seed.replay("SimulationTests"))")
        return
      }
    }
  }

  @Test("each sync is needed: without it some run loses something, or waits", arguments: SyncPoint.allCases)
  func everySyncCounts(point: SyncPoint) throws {
    for number in 0..<3000 as Range<UInt64> {
      var replica = SimulatedReplica(seed: Seed(number))
      replica.disk.ignore(point)
      do { try replica.run(lives: 5) } catch { return }
      guard try Self.keepsSmallFile(seed: number, without: point) else { return }
    }
    Issue.record("no seed notices that \(point.rawValue) is missing")
  }

  /// A small file is there, new, once it was replaced, whatever comes next.
  private static func keepsSmallFile(seed: UInt64, without point: SyncPoint) throws -> Bool {
    let disk = VirtualDisk(seed: seed)
    disk.plant("file", [1])
    disk.ignore(point)
    try disk.replaceFile("./file", with: [2, 3])
    disk.losePower()
    return disk.contents("file") == [2, 3]
  }

  @Test(
    "a failed sync is final: the replica stops, names file and call, does not try again, and a restart on a healed disk has all",
    arguments: SyncPoint.allCases, [StorageError.Code.io, .noSpace])
  func failedSync(point: SyncPoint, code: StorageError.Code) throws {
    try fail(.sync(point), with: code, times: 5)
  }

  @Test(
    "a full or broken disk at any labelled write loses nothing that was acknowledged",
    arguments: ChangePoint.allCases, [StorageError.Code.io, .noSpace])
  func failedChange(point: ChangePoint, code: StorageError.Code) throws {
    try fail(.change(point), with: code, times: 5)
  }

  private func fail(_ call: DiskCall, with code: StorageError.Code, times: Int) throws {
    var times = times
    for number in 0..<3000 as Range<UInt64> where times > 0 {
      var replica = SimulatedReplica(seed: Seed(number))
      replica.disk.fail(call, with: code)
      // Nothing is abandoned unless something else failed.
      if call == .change(.spareAbandon) { replica.disk.fail(.change(.spareAppear), with: code) }
      do {
        try replica.run(lives: 5)
      } catch {
        Issue.record("seed \(number): \(error)")
        return
      }
      if replica.disk.isHealed { times -= 1 }
    }
    #expect(times == 0, "\(call.name) never came")
  }
}
