/// What an input is made of, so that a mutation can move, double or lose whole parts and keep the
/// lengths around them right.
public enum Shape: Sendable {
  case bytes
  /// Protobuf fields, nested where they can be.
  case protobuf
  /// gRPC messages end to end, each behind its five bytes; their payloads are protobuf.
  case messages
  /// HTTP/2 frames end to end, each behind its nine bytes.
  case frames
  /// Parts behind a length of two bytes, least significant first.
  case parts
  /// Lines of text.
  case lines

  /// Cuts `input` into its parts. What is no whole part at the end is one too.
  func split(_ input: [UInt8]) -> [[UInt8]] {
    var parts: [[UInt8]] = []
    var start = 0
    while start < input.count {
      let end = min(input.count, start + max(1, partLength(input[start...])))
      parts.append(Array(input[start..<end]))
      start = end
    }
    return parts
  }

  /// Bytes of a part before its payload.
  var headBytes: Int {
    switch self {
    case .bytes, .protobuf, .lines: 0
    case .messages: 5
    case .frames: 9
    case .parts: 2
    }
  }

  private func partLength(_ rest: ArraySlice<UInt8>) -> Int {
    let at = rest.startIndex
    guard rest.count >= headBytes else { return rest.count }
    switch self {
    case .bytes, .protobuf: return rest.count
    case .lines: return (rest.firstIndex(of: 0x0a) ?? rest.endIndex - 1) - at + 1
    case .messages: return 5 + rest[(at + 1)..<(at + 5)].reduce(0) { $0 << 8 | Int($1) }
    case .frames: return 9 + rest[at..<(at + 3)].reduce(0) { $0 << 8 | Int($1) }
    case .parts: return 2 + Int(rest[at]) + Int(rest[at + 1]) << 8
    }
  }

  /// Writes the payload's length into a part's head.
  func mendLength(of part: inout [UInt8]) {
    let count = part.count - headBytes
    guard count >= 0 else { return }
    switch self {
    case .bytes, .protobuf, .lines: break
    case .messages: for place in 0..<4 { part[4 - place] = UInt8(truncatingIfNeeded: count >> (8 * place)) }
    case .frames: for place in 0..<3 { part[2 - place] = UInt8(truncatingIfNeeded: count >> (8 * place)) }
    case .parts: for place in 0..<2 { part[place] = UInt8(truncatingIfNeeded: count >> (8 * place)) }
    }
  }

  /// `payload` as a part of its own. `head` is what stands in the head beside the length.
  func part(_ payload: [UInt8], head: [UInt8] = []) -> [UInt8] {
    var part = [UInt8](repeating: 0, count: headBytes) + payload
    for (place, byte) in head.enumerated() { part[headBytes - head.count + place] = byte }
    mendLength(of: &part)
    return part
  }
}
