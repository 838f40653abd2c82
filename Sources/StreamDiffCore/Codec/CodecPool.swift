import Synchronization

/// The codec contexts of a node: lent to compressors and decompressors while they are within a frame, kept for the
/// next when they come back, and together within a `CodecBudget`.
///
/// A context is lent for what it was made for: zstd keeps the memory of the highest level that a context had, so one
/// that goes from level 19 to 1 comes back here and another leaves. A decompressor cannot choose what it needs; where
/// those together with the others exceed the budget, compressors end their frames for smaller ones.
public final class CodecPool: Sendable {
  /// Of this process.
  public static let node = CodecPool(.node)

  private struct Kept {
    let context: any CodecContext
    let bytes: Int
    /// It was here already when idle ones were given back the last time.
    var isOld = false
  }

  private struct State {
    var use = CodecBudget.Use()
    /// The longest kept first.
    var kept: [Kept] = []
    var keptBytes: Int { kept.reduce(0) { $0 + $1.bytes } }

    /// One that was lent came back.
    mutating func remove(_ bytes: Int) {
      use.bytes -= bytes
      use.contexts -= 1
    }

    /// One that is made for as much, or for a little more.
    mutating func take<Context: CodecContext>(_: Context.Type, bytes: Int) -> (Context, Int)? {
      let fitting = kept.indices.filter {
        kept[$0].context is Context && bytes...(bytes + bytes / 4) ~= kept[$0].bytes
      }
      guard let place = fitting.last, let context = kept[place].context as? Context else { return nil }
      return (context, kept.remove(at: place).bytes)
    }

    /// - Returns: what has to go, so that all together stay within `bytes`.
    mutating func evict(beyond bytes: Int) -> [Kept] {
      var (excess, count) = (use.bytes + keptBytes - bytes, 0)
      while excess > 0, count < kept.count {
        excess -= kept[count].bytes
        count += 1
      }
      defer { kept.removeFirst(count) }
      return Array(kept[..<count])
    }
  }

  public let budget: CodecBudget
  private let state = Mutex(State())

  public init(_ budget: CodecBudget) { self.budget = budget }

  /// Contexts that are lent now.
  public var use: CodecBudget.Use { state.withLock { $0.use } }
  /// Bytes of those that wait to be.
  public var keptBytes: Int { state.withLock { $0.keptBytes } }

  /// For a frame at `level`, or at one that there is room for.
  func compressor(_ level: Int32) throws(CodecError) -> (Lent<CompressionContext>, FrameParameters) {
    var parameters = FrameParameters(level: level)
    let lent = try lend(CompressionContext.self) { use in
      parameters = budget.grant(level, beside: use)
      return parameters.contextBytes
    }
    return (lent, parameters)
  }

  func decompressor() throws(CodecError) -> Lent<DecompressionContext> {
    try lend(DecompressionContext.self) { _ in DecompressionContext.usualBytes }
  }

  private func lend<Context: CodecContext>(
    _: Context.Type, bytes: (CodecBudget.Use) -> Int
  ) throws(CodecError) -> Lent<Context> {
    // What is evicted is freed outside the lock.
    let (context, counted, _) = state.withLock { state -> (Context?, Int, [Kept]) in
      let needed = bytes(state.use)
      let found = state.take(Context.self, bytes: needed)
      state.use.bytes += found?.1 ?? needed
      state.use.contexts += 1
      return (found?.0, found?.1 ?? needed, state.evict(beyond: budget.bytes))
    }
    if let context { return Lent(context, bytes: counted, from: self) }
    do throws(CodecError) {
      return Lent(try Context(), bytes: counted, from: self)
    } catch {
      state.withLock { $0.remove(counted) }
      throw error
    }
  }

  /// Whether the frame of a compressor should end for the sake of memory.
  func isDue(_ parameters: FrameParameters, wanted level: Int32, plainBytes: Int, bytes: Int) -> Bool {
    var others = use
    others.bytes -= bytes
    others.contexts -= 1
    return budget.isDue(parameters, wanted: level, plainBytes: plainBytes, beside: others)
  }

  fileprivate func grew(by bytes: Int) {
    _ = state.withLock { state in
      state.use.bytes += bytes
      return state.evict(beyond: budget.bytes)
    }
  }

  fileprivate func takeBack(_ context: some CodecContext, _ bytes: Int) {
    context.clear()
    let kept = Kept(context: context, bytes: bytes)
    state.withLock { state in
      state.remove(bytes)
      if state.use.bytes + state.keptBytes + bytes <= budget.bytes { state.kept.append(kept) }
    }
  }

  /// Frees contexts that nobody has wanted since this was called the last time.
  public func giveBackIdle() {
    _ = state.withLock { state in
      let old = state.kept.filter(\.isOld)
      state.kept.removeAll(where: \.isOld)
      for place in state.kept.indices { state.kept[place].isOld = true }
      return old  // freed outside the lock
    }
  }
}

/// A context on loan; it goes back when nobody holds this any more.
final class Lent<Context: CodecContext>: @unchecked Sendable {  // one owner
  let context: Context
  /// What the pool counts.
  private(set) var bytes: Int
  private let pool: CodecPool

  init(_ context: Context, bytes: Int, from pool: CodecPool) {
    (self.context, self.bytes, self.pool) = (context, bytes, pool)
  }

  deinit { pool.takeBack(context, bytes) }

  /// The context may have needed more than was thought.
  func recount() {
    let more = context.bytes - bytes
    guard more > 0 else { return }
    bytes += more
    pool.grew(by: more)
  }
}
