/// What the codec contexts of a node may take together, and what a compressor gets of it.
///
/// Each context that is still to come, up to `contexts`, keeps room for the least that compresses; what is above
/// that goes to who asks first. So level 1 is always possible, and a higher level while few want it.
public struct CodecBudget: Hashable, Sendable {
  /// Contexts that are lent.
  public struct Use: Hashable, Sendable {
    public var bytes: Int
    public var contexts: Int

    public init(bytes: Int = 0, contexts: Int = 0) { (self.bytes, self.contexts) = (bytes, contexts) }
  }

  /// 64 MiB for as many sessions as a server has, of one context each. All at level 1 take 61 of them; 10 may have
  /// level 12 beside 54 at the least.
  public static let node = CodecBudget(bytes: 64 << 20, contexts: 64)

  /// Plain bytes of a frame after which it may end for a higher level that now has room: indexing a prefix costs
  /// a few hundredths of compressing them.
  public static let patience = 4 << 20

  /// Of all contexts, lent and kept.
  public let bytes: Int
  /// Of which room is kept for each.
  public let contexts: Int

  public init(bytes: Int, contexts: Int) { (self.bytes, self.contexts) = (bytes, contexts) }

  /// What a compressor gets that wants `level`: that, or the highest level below for which there is room, 1 being
  /// the lowest that saves any; or the least, which is always granted.
  /// - Parameter others: without what the compressor itself has.
  public func grant(_ level: Int32, beside others: Use) -> FrameParameters {
    let toCome = max(0, contexts - others.contexts - 1)
    let room = bytes - others.bytes - toCome * FrameParameters.leastBytes
    var parameters = FrameParameters(level: level)
    while parameters.contextBytes > room {
      guard parameters.level > 1 else { return .least(level: level) }
      parameters = FrameParameters(level: parameters.level - 1)
    }
    return parameters
  }

  /// Whether a frame should end for the sake of memory: it has less than it could have and has gone on for
  /// `patience`, or all together have too much and it could do with less.
  public func isDue(
    _ parameters: FrameParameters, wanted level: Int32, plainBytes: Int, beside others: Use
  ) -> Bool {
    let now = grant(level, beside: others)
    return now.contextBytes > parameters.contextBytes
      ? plainBytes >= Self.patience
      : now.contextBytes < parameters.contextBytes && others.bytes + parameters.contextBytes > bytes
  }
}
