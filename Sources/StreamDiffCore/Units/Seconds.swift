extension Duration {
  public var seconds: Double {
    let (seconds, attoseconds) = components
    return Double(seconds) + Double(attoseconds) / 1e18
  }

  init(rounding seconds: Double) { self = .nanoseconds(Int64((seconds * 1e9).rounded())) }
}
