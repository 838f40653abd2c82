import StreamDiffCore
import Testing

@Suite("Operations as bytes")
struct OperationTests {
  static let digest = SHA256.digest([1, 2, 3])

  static let samples: [(Operation, [UInt8])] = [
    (
      Operation(key: Array("k".utf8), change: .put(value: Array("value".utf8))),
      [1, 1, 0x6b, 0, 5, 0x76, 0x61, 0x6c, 0x75, 0x65]
    ),
    (Operation(key: [0], expectation: .absent, change: .put(value: [])), [1, 1, 0, 1, 0]),
    (Operation(key: [7, 8], change: .delete), [2, 2, 7, 8, 0]),
    (
      Operation(key: [7], expectation: .digest(digest), change: .delete),
      [2, 1, 7, 2] + digest.bytes
    ),
  ]

  @Test("the layout is the one that streamdiff.proto names", arguments: samples)
  func layout(operation: Operation, bytes: [UInt8]) throws {
    #expect(try operation.encode() == bytes)
    #expect(try EncodedOperations(bytes).operations == [operation])
  }

  @Test("lengths of two and three bytes are LEB128")
  func longLengths() throws {
    let key = [UInt8](repeating: 9, count: 300)
    let value = [UInt8](repeating: 8, count: Limits.valueBytes)
    let bytes = try Operation(key: key, change: .put(value: value)).encode()
    #expect(bytes[..<3] == [1, 0xac, 0x02])
    #expect(bytes[303..<307] == [0, 0x80, 0x80, 0x40])
    #expect(bytes.count <= OperationEncoding.maximumBytes)
    #expect(try EncodedOperations(bytes).operations == [Operation(key: key, change: .put(value: value))])
  }

  @Test("operations laid end to end come back, and every proper prefix lacks something", arguments: 0..<20)
  func roundTrip(seed: Int) throws {
    var random = SplitMix(seed: seed)
    let operations = (0..<20).map { _ in Operation.random(using: &random, valueBytes: 0...300) }
    let encoded = try EncodedOperations(operations)
    #expect(encoded.count == 20)
    #expect(try EncodedOperations(encoded.bytes).operations == operations)

    var ends: Set<Int> = [0]
    for operation in encoded { ends.insert(operation.end) }
    for count in 0..<encoded.bytes.count where !ends.contains(count) {
      let prefix = Array(encoded.bytes[..<count])
      #expect(throws: OperationError.self) { try EncodedOperations(prefix) }
      let start = ends.filter { $0 < count }.max() ?? 0
      #expect(try OperationLayout(parsing: prefix.span, at: start) == nil)
    }
  }

  @Test(
    "bytes that can never become an operation are refused at once",
    arguments: [
      ([0], .malformed), ([3, 1, 1, 0], .malformed), ([1, 0], .malformed), ([1, 1, 9, 3], .malformed),
      ([2, 1, 9, 0xff], .malformed), ([1, 0x81, 0x40], .tooLarge),
      ([1, 0x80, 0x80, 0x80, 0x80, 0x80], .malformed),
      ([1, 1, 9, 0, 0x81, 0x80, 0x40], .tooLarge), ([1, 0xff, 0xff, 0xff, 0xff, 0x7f], .tooLarge),
    ] as [([UInt8], OperationError.Code)])
  func damaged(bytes: [UInt8], code: OperationError.Code) {
    #expect { try OperationLayout(parsing: bytes.span, at: 0) } throws: {
      ($0 as? OperationError)?.code == code
    }
  }

  @Test("a key is 1 byte to 8 KiB, a value at most 1 MiB")
  func limits() {
    let long = [UInt8](repeating: 1, count: Limits.keyBytes + 1)
    let large = [UInt8](repeating: 1, count: Limits.valueBytes + 1)
    #expect(throws: OperationError.self) { try Operation(key: [], change: .delete).encode() }
    #expect(throws: OperationError.self) { try Operation(key: long, change: .delete).encode() }
    #expect(throws: OperationError.self) { try Operation(key: [1], change: .put(value: large)).encode() }
  }
}

extension Operation {
  static func random(using random: inout SplitMix, valueBytes: ClosedRange<Int>) -> Operation {
    let expectation: StreamDiffCore.Expectation =
      switch Int.random(in: 0..<3, using: &random) {
      case 0: .any
      case 1: .absent
      default: .digest(SHA256.digest(random.bytes(4)))
      }
    let key = random.bytes(.random(in: 1...40, using: &random))
    guard Bool.random(using: &random) else {
      return Operation(key: key, expectation: expectation, change: .delete)
    }
    let value = random.bytes(.random(in: valueBytes, using: &random))
    return Operation(key: key, expectation: expectation, change: .put(value: value))
  }
}
