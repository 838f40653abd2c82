/// A parser of bytes from outside, as a function that bytes go into and nothing comes out of.
///
/// A typed error of the parser is an answer like any other. What must not happen is a trap, a hang,
/// growth, or a broken law, such as a message that does not come back when it is encoded again.
public struct EntryPoint: Sendable {
  public let name: String
  /// What the bytes are made of, for the mutator.
  public let shape: Shape
  /// Longest input worth trying.
  public let maximumBytes: Int
  /// Words of the format.
  public let dictionary: [[UInt8]]
  /// How many times as long an execution takes as most do: files are written, threads are waited for.
  public let cost: Int
  private let makeSeeds: @Sendable () -> [[UInt8]]
  private let body: @Sendable ([UInt8], inout Observation) throws -> Void

  init(
    _ name: String, shape: Shape = .bytes, maximumBytes: Int = 4096, dictionary: [[UInt8]] = [],
    cost: Int = 1,
    seeds: @escaping @Sendable () -> [[UInt8]],
    _ body: @escaping @Sendable (_ input: [UInt8], _ seen: inout Observation) throws -> Void
  ) {
    self.name = name
    self.shape = shape
    self.maximumBytes = maximumBytes
    (self.dictionary, self.cost) = (dictionary, cost)
    makeSeeds = seeds
    self.body = body
  }

  /// Valid inputs: the same at every call.
  public func seeds() -> [[UInt8]] { makeSeeds() }

  /// Runs one input.
  /// - Returns: a number that tells what the parser made of it: inputs with a number not seen before
  ///   are worth keeping.
  /// - Throws: `LawBroken` alone.
  public func run(_ input: [UInt8]) throws(LawBroken) -> UInt64 {
    var seen = Observation()
    do {
      try body(input, &seen)
    } catch let broken as LawBroken {
      throw broken
    } catch {
      seen.note("\(error)")
    }
    return seen.hash
  }
}

/// A parser did with some input what it must never do.
public struct LawBroken: Error, CustomStringConvertible {
  public let description: String
  init(_ description: String) { self.description = description }
}

func require(_ law: Bool, _ words: @autoclosure () -> String) throws(LawBroken) {
  guard law else { throw LawBroken(words()) }
}

/// What an execution showed of itself: kinds of answers, and counts by their magnitude.
public struct Observation {
  private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325

  /// Digits tell inputs apart, not behaviour: they are passed over.
  mutating func note(_ words: String) {
    for byte in words.utf8 where !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte) { mix(UInt64(byte)) }
    mix(0xff)
  }

  /// - Parameter count: not negative.
  mutating func note(count: Int) { mix(UInt64(Int.bitWidth - count.leadingZeroBitCount)) }

  private mutating func mix(_ value: UInt64) { hash = (hash ^ value) &* 0x0000_0100_0000_01b3 }
}

/// Every entry point of the program; `all` keep nothing from one execution to the next.
public enum EntryPoints {
  public static let all: [EntryPoint] =
    core + selection + chunks + sync + wire + http2 + storage + state + entryFiles + unfinishedFiles + service
    + adapters + tuning

  public static func named(_ name: String) -> EntryPoint? { (all + live).first { $0.name == name } }
}
