/// How large a chunk is: about as much as goes over the wire in 50 ms, since what waits behind a chunk waits for all of
/// it, and a connection that breaks loses it. Sizes are steps of 2, and one that is taken stays while it takes 35 to
/// 140 ms, so that they do not follow every breath of the rate. Fast links have the largest.
struct ChunkChoice: Sendable {
  static let wireTime = 0.05

  private var bytes: Int?

  mutating func update(wire rate: Double?, ratio: Double, _ bounds: AdaptationBounds) -> Int {
    let largest = bounds.chunk.upperBound
    guard let rate else { return bounds.clamped(chunk: bytes ?? largest) }
    let wanted = min(Double(largest), rate * ratio * Self.wireTime)
    // In steps of 2, and a step only when it is clear.
    var next = Double(bytes ?? largest)
    while next > 2.8 * wanted, next > 1 { next /= 2 }
    while next < wanted / 1.4, next < Double(largest) { next *= 2 }
    let chosen = bounds.clamped(chunk: Int(next))
    bytes = chosen
    return chosen
  }
}
