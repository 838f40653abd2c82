public import Simulator

/// Makes new inputs from old ones. The same seed and the same calls make the same inputs.
public struct Mutator: Sendable {
  public var random: SeededRandom
  private let shape: Shape
  private let maximumBytes: Int
  private let dictionary: [[UInt8]]

  public init(for entry: EntryPoint, seed: UInt64) {
    random = SeededRandom(seed: seed)
    (shape, maximumBytes, dictionary) = (entry.shape, entry.maximumBytes, entry.dictionary)
  }

  /// - Parameter corpus: not empty. One of it is changed, others lend pieces.
  public mutating func next(from corpus: [[UInt8]]) -> [UInt8] {
    next(changing: corpus[random.below(corpus.count)], with: corpus)
  }

  public mutating func next(changing original: [UInt8], with corpus: [[UInt8]]) -> [UInt8] {
    var input = original
    for _ in 0...(random.next() | 1 << 4).trailingZeroBitCount {
      input = mutated(input, other: corpus[random.below(corpus.count)])
    }
    if input.count > maximumBytes { input.removeLast(input.count - maximumBytes) }
    return input
  }

  mutating func mutated(_ input: [UInt8], other: [UInt8]) -> [UInt8] {
    switch shape {
    case .bytes: return changed(input, other)
    case .protobuf: return random.oneIn(3) ? changed(input, other) : fieldChanged(input, other)
    case .messages, .frames, .parts, .lines:
      return random.oneIn(6) ? changed(input, other) : partChanged(input, other)
    }
  }

  // MARK: Parts

  private mutating func partChanged(_ input: [UInt8], _ other: [UInt8]) -> [UInt8] {
    var parts = shape.split(input)
    guard !parts.isEmpty else { return other }
    let place = random.below(parts.count)
    switch random.below(10) {
    case 0: parts.remove(at: place)
    case 1: parts.insert(parts[place], at: random.below(parts.count + 1))
    case 2: parts.swapAt(place, random.below(parts.count))
    case 3:
      let others = shape.split(other)
      if !others.isEmpty { parts.insert(others[random.below(others.count)], at: place) }
    case 4: parts.removeLast(parts.count - place)
    case 5: if case .frames = shape { changeHead(&parts[place]) } else { fallthrough }
    default: changePayload(&parts[place], other)
    }
    return Array(parts.joined())
  }

  private mutating func changePayload(_ part: inout [UInt8], _ other: [UInt8]) {
    guard part.count >= shape.headBytes else { return part = changed(part, other) }
    let payload = Array(part[shape.headBytes...])
    var lent = shape.split(other)
    let donor =
      lent.isEmpty ? [] : Array(lent.remove(at: random.below(lent.count)).dropFirst(shape.headBytes))
    var after = payload
    if case .messages = shape, !random.oneIn(3) {
      after = fieldChanged(payload, donor)
    } else {
      after = changed(payload, donor)
    }
    part = Array(part[..<shape.headBytes]) + after
    if !random.oneIn(12) { shape.mendLength(of: &part) }
  }

  /// Type, flags or stream of an HTTP/2 frame.
  private mutating func changeHead(_ frame: inout [UInt8]) {
    guard frame.count >= 9 else { return }
    switch random.below(4) {
    case 0: frame[3] = UInt8(random.below(12))
    case 1: frame[4] ^= 1 << UInt8(random.below(8))
    case 2: frame[8] = UInt8(random.below(16))
    default: frame[5 + random.below(4)] = UInt8(truncatingIfNeeded: random.next())
    }
  }

  // MARK: Protobuf

  private mutating func fieldChanged(_ input: [UInt8], _ other: [UInt8]) -> [UInt8] {
    guard var fields = ProtobufFields(input), !fields.list.isEmpty else { return changed(input, other) }
    let place = random.below(fields.list.count)
    switch random.below(10) {
    case 0: fields.list.remove(at: place)
    case 1: fields.list.insert(fields.list[place], at: random.below(fields.list.count + 1))
    case 2: fields.list.swapAt(place, random.below(fields.list.count))
    case 3:
      if let lent = ProtobufFields(other)?.list, !lent.isEmpty {
        fields.list.insert(lent[random.below(lent.count)], at: place)
      }
    case 4: fields.list[place].number = UInt64(random.below(34))
    default:
      switch fields.list[place].value {
      case .varint(let value): fields.list[place].value = .varint(changed(value))
      case .fixed(let bytes): fields.list[place].value = .fixed(bytes.map { $0 ^ UInt8(random.below(3)) })
      case .bytes(let bytes):
        let lent = ProtobufFields(other)?.list.compactMap(\.bytes) ?? []
        let donor = lent.isEmpty ? other : lent[random.below(lent.count)]
        fields.list[place].value = .bytes(
          random.oneIn(2) ? fieldChanged(bytes, donor) : changed(bytes, donor))
      }
    }
    return fields.encode()
  }

  private mutating func changed(_ value: UInt64) -> UInt64 {
    switch random.below(4) {
    case 0: value ^ 1 << UInt64(random.below(64))
    case 1: value &+ UInt64(bitPattern: Int64(random.below(9) - 4))
    case 2: UInt64(random.below(300))
    default: Self.edges[random.below(Self.edges.count)]
    }
  }

  // MARK: Bytes

  /// Where integers tend to break things.
  private static let edges: [UInt64] = [
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 4095, 4096,
    8192, 8193, 16_384, 32_767, 32_768, 65_535, 65_536, 1 << 20, 1 << 20 + 1, 1 << 24 - 1, 1 << 31 - 1,
    1 << 31, 1 << 32 - 1, 1 << 32, 1 << 62, 1 << 63 - 1, 1 << 63, .max - 1, .max,
  ]

  private mutating func changed(_ input: [UInt8], _ other: [UInt8]) -> [UInt8] {
    var bytes = input
    guard !bytes.isEmpty else { return random.oneIn(2) ? other : random.bytes(1 + random.below(16)) }
    let place = random.below(bytes.count)
    let length = min(bytes.count - place, 1 + random.below(random.oneIn(4) ? 64 : 8))
    switch random.below(14) {
    case 0, 1: bytes[place] ^= 1 << UInt8(random.below(8))
    case 2: bytes[place] = UInt8(truncatingIfNeeded: random.next())
    case 3: bytes[place] = [0, 1, 0x7f, 0x80, 0xff, 0x20, 0x0a][random.below(7)]
    case 4: bytes.insert(contentsOf: random.bytes(length), at: place)
    case 5: bytes.removeSubrange(place..<place + length)
    case 6: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
    case 7: bytes.removeLast(bytes.count - place)
    case 8: setInteger(&bytes, at: place)
    case 9: setVarint(&bytes, at: place)
    case 10:
      guard !dictionary.isEmpty else { return bytes }
      let word = dictionary[random.below(dictionary.count)]
      if random.oneIn(2) {
        bytes.insert(contentsOf: word, at: place)
      } else {
        bytes.replaceSubrange(place..<min(bytes.count, place + word.count), with: word)
      }
    case 11: bytes.replaceSubrange(place..<place + length, with: repeatElement(bytes[place], count: length))
    default:
      guard !other.isEmpty else { return bytes }
      let start = random.below(other.count)
      let piece = other[start..<min(other.count, start + 1 + random.below(64))]
      bytes.replaceSubrange(place..<(random.oneIn(2) ? place : place + length), with: piece)
    }
    return bytes
  }

  private mutating func setInteger(_ bytes: inout [UInt8], at place: Int) {
    let width = min(bytes.count - place, 1 << random.below(4))
    let isBig = random.oneIn(2)
    var value: UInt64 = 0
    for offset in 0..<width {
      value |= UInt64(bytes[place + (isBig ? width - 1 - offset : offset)]) << UInt64(8 * offset)
    }
    value = changed(value)
    for offset in 0..<width {
      bytes[place + (isBig ? width - 1 - offset : offset)] = UInt8(
        truncatingIfNeeded: value >> UInt64(8 * offset))
    }
  }

  private mutating func setVarint(_ bytes: inout [UInt8], at place: Int) {
    guard let (value, end) = ProtobufFields.varint(bytes, at: place) else { return }
    var replacement: [UInt8] = []
    ProtobufFields.append(changed(value), to: &replacement)
    bytes.replaceSubrange(place..<end, with: replacement)
  }
}
