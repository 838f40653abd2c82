import StreamDiffCore
import Testing

@Suite struct DiskFloorTests {
  private static let mebibyte: UInt64 = 1 << 20

  @Test("by default a twentieth of a small disk, and never over 256 MiB")
  func standard() {
    #expect(DiskFloor.standard(total: 64 << 20) == (64 << 20) / 20)
    #expect(DiskFloor.standard(total: 1 << 40) == 256 << 20)
  }

  @Test(
    "a floor that was asked for is exactly what must be free, and at least what is owed; else what is owed and the standard",
    arguments: [(UInt64?(300), UInt64(300)), (80, 208), (0, 208), (nil, 464)])
  func needed(floor: UInt64?, needed: UInt64) {
    let reading = DiskFloor.Reading(total: 1 << 40, available: 0, owed: 208 * Self.mebibyte)
    #expect(DiskFloor(floor.map { $0 * Self.mebibyte }).needed(reading) == needed * Self.mebibyte)
  }

  @Test("writes end below the floor, and begin again only an eighth above")
  func hysteresis() {
    var floor = DiskFloor(160 * Self.mebibyte)
    func take(_ available: UInt64) -> Bool {
      floor.take(
        DiskFloor.Reading(
          total: 1 << 30, available: available * Self.mebibyte, owed: 80 * Self.mebibyte))
    }
    // Free MiB; whether that changes anything; whether it is read-only afterwards.
    let steps: [(UInt64, Bool, Bool)] = [
      (500, false, false), (160, false, false), (159, true, true), (0, false, true), (160, false, true),
      (179, false, true), (180, true, false), (161, false, false), (10, true, true),
    ]
    for (available, changes, isReadOnly) in steps {
      let hasChanged = take(available)
      #expect(hasChanged == changes, "\(available)")
      #expect(floor.isReadOnly == isReadOnly, "\(available)")
    }
  }

  @Test("a floor beyond all numbers is never reached")
  func overflow() {
    var floor = DiskFloor(.max)
    let hasChanged = floor.take(DiskFloor.Reading(total: 1, available: .max - 1, owed: 5))
    #expect(hasChanged)
    #expect(floor.isReadOnly)
  }
}
