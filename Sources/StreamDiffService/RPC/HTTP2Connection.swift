import NIOCore
import StreamDiffCore
import StreamDiffWire
import Synchronization

/// One HTTP/2 connection on its event loop: bytes of the channel go through the session, the session's
/// events to a subclass (server or client), and what those submit goes out in one write per burst.
///
/// Everything here runs on the channel's loop; other threads reach it through `LoopMailbox`.
class HTTP2Connection: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private enum Phase { case open, closing, closed }

  /// How long a peer has to close its side after we have closed ours.
  private static let linger = TimeAmount.seconds(1)
  /// Of one write to the socket.
  private static let outputBytes = 128 << 10

  let session: HTTP2Session
  let limits: RPCLimits
  let mailbox: LoopMailbox
  private let bytes: ByteCounters
  private var context: ChannelHandlerContext?
  private var watch: ConnectionWatch
  private var conduct: ConductWatch
  private var timer: Scheduled<Void>?
  private var timerDue = NIODeadline.distantFuture
  private var headersSince: NIODeadline?
  private var nextCallDeadline = NIODeadline.distantFuture
  private var phase = Phase.open
  private var closeReason: String?
  private var isPumping = false
  private var isTouched = false
  private var pings: UInt64 = 0
  private(set) var roundTrips = RoundTripMeter()
  private var hasOpened = false
  /// Within a burst of reads or a timer, whose end pumps: answers given now need no letter.
  private(set) var isInBurst = false
  /// Nothing is sent before a server knows that the client speaks HTTP/2.
  var isEstablished = false {
    didSet { if isEstablished { watch.established() } }
  }

  init(
    role: HTTP2Session.Role, limits: RPCLimits, mailbox: LoopMailbox, bytes: ByteCounters
  ) throws(WireError) {
    session = try HTTP2Session(role, settings: limits.settings)
    self.limits = limits
    self.mailbox = mailbox
    self.bytes = bytes
    let now = NIODeadline.now()
    watch = ConnectionWatch(limits: limits, pingsWithoutCalls: role == .server, now: now)
    conduct = ConductWatch(limits: limits, now: now)
  }

  // MARK: What a subclass is

  func handle(_ event: HTTP2Event) {}
  /// Bytes as they come, before the session.
  func receive(_ bytes: ByteBuffer) { feed(bytes) }
  var hasCalls: Bool { false }
  /// Ends every call whose deadline has passed, and says when the next one is due.
  func expireCalls(now: NIODeadline) -> NIODeadline { .distantFuture }
  /// Goes on with what waited for room.
  /// - Returns: whether there may be more to send.
  func outputDrained() -> Bool { false }
  /// A burst of reads, letters or time is over.
  func settled(now: NIODeadline) {}
  /// The connection is over: so is every call.
  func connectionEnded(_ reason: String) {}

  // MARK: What it may do

  var isOpen: Bool { phase == .open }
  var channel: (any Channel)? { context?.channel }

  /// Something was submitted from a letter or a timer: send it when all letters are read.
  func touch() {
    guard !isInBurst, !isTouched else { return }
    isTouched = true
    mailbox.touch(self)
  }

  func watchDeadline(_ deadline: NIODeadline?) {
    guard let deadline, deadline < nextCallDeadline else { return }
    nextCallDeadline = deadline
    rearm()
  }

  func feed(_ bytes: ByteBuffer) {
    do {
      try session.receive(bytes)
    } catch {
      dispatchEvents()
      closeGently("\(error)")
    }
    if let excess = conduct.spend(session.takeFrameCounts(), now: .now()) {
      session.terminate(.enhanceYourCalm)
      _ = session.takeEvents()
      return closeGently(excess)
    }
    dispatchEvents()
  }

  /// A PING whose answer comes as an event.
  /// - Returns: what the answer will carry.
  @discardableResult
  func ping() -> UInt64 {
    pings += 1
    session.ping(pings)
    return pings
  }

  /// Has a PING measure the round trip, unless one has just done so.
  func measureRoundTrip() {
    roundTrips.ask(now: .now())
    if roundTrips.isDue { touch() }
  }

  /// It leaves before all that is not on its way into the socket yet.
  private func pingIfDue(_ channel: any Channel) {
    guard roundTrips.isDue, channel.isWritable else { return }
    let buffered = (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    let unsent = Int(clamping: withSocket { LinkSample(ofSocket: $0)?.bytesNotSent ?? 0 } ?? 0)
    roundTrips.sent(ping(), behind: buffered + unsent, now: .now())
  }

  /// Sends what waits, then closes: our side first, all of it when the peer has, or after a while.
  /// (A socket closed with unread bytes resets, and the peer may lose our last words.)
  func closeGently(_ reason: String, last: ByteBuffer? = nil) {
    guard phase == .open else { return }
    closeReason = closeReason ?? reason
    if last == nil { _ = transmit() }
    guard phase == .open, let context else { return }
    phase = .closing
    connectionEnded(closeReason ?? reason)
    let last = last ?? ByteBuffer()
    bytes.sent.add(UInt64(last.readableBytes), ordering: .relaxed)
    context.writeAndFlush(wrapOutboundOut(last)).assumeIsolated().whenComplete { [weak self] _ in
      self?.context?.close(mode: .output, promise: nil)
      self?.close(in: Self.linger)
    }
    close(in: limits.keepaliveTimeout)
  }

  private func close(in delay: TimeAmount) {
    context?.eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in
      self?.context?.close(promise: nil)
    }
  }

  /// Closes at once.
  func closeNow(_ reason: String) {
    guard phase != .closed, let context else { return }
    phase = .closing
    connectionEnded(reason)
    context.close(promise: nil)
  }

  /// Sends all that may be sent now.
  func pump() {
    isTouched = false
    guard phase == .open, !isPumping else { return }
    var failure = transmit()
    while failure == nil, phase == .open, outputDrained() { failure = transmit() }
    guard phase == .open else { return }
    if let failure {
      closeGently(failure)
    } else if isEstablished, session.isFinished {
      closeGently("the connection was shut down")
    } else {
      settle(now: .now())
    }
  }

  /// - Returns: why the session cannot go on, if so.
  private func transmit() -> String? {
    guard isEstablished, !isPumping, let context else { return nil }
    isPumping = true
    defer { isPumping = false }
    pingIfDue(context.channel)
    do {
      while context.channel.isWritable, let output = try session.takeOutput(limit: Self.outputBytes) {
        for buffer in output.buffers { context.write(wrapOutboundOut(buffer), promise: nil) }
        bytes.sent.add(UInt64(output.byteCount), ordering: .relaxed)
        context.flush()
        dispatchEvents()
      }
      dispatchEvents()
      return nil
    } catch {
      return "\(error)"
    }
  }

  private func dispatchEvents() {
    for event in session.takeEvents() {
      if case .pingAcknowledged(let payload) = event, roundTrips.answered(payload, now: .now()) { continue }
      handle(event)
    }
  }

  // MARK: Time

  private func settle(now: NIODeadline) {
    watch.callsOpen(hasCalls, now: now)
    watch.output(unwritten: unwritten, now: now)
    settled(now: now)
    if !session.isReceivingHeaders {
      headersSince = nil
    } else if headersSince == nil {
      headersSince = now
    }
    rearm()
  }

  /// Bytes that the socket has not taken; none while it takes all.
  private var unwritten: Int {
    guard let channel = context?.channel, !channel.isWritable else { return 0 }
    return (try? channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 1
  }

  private func rearm() {
    guard phase == .open, let context else { return }
    var due = min(watch.due, nextCallDeadline)
    if let headersSince { due = min(due, headersSince + limits.prefaceTimeout) }
    // A timer that fires early finds nothing to do and is set again: cheaper than moving it each time.
    guard due < timerDue else { return }
    timer?.cancel()
    timerDue = due
    timer = context.eventLoop.assumeIsolated().scheduleTask(deadline: due) { [weak self] in self?.tick() }
  }

  private func tick() {
    timerDue = .distantFuture
    guard phase == .open else { return }
    let now = NIODeadline.now()
    isInBurst = true
    if nextCallDeadline <= now { nextCallDeadline = expireCalls(now: now) }
    isInBurst = false
    if let headersSince, now >= headersSince + limits.prefaceTimeout {
      session.terminate(.enhanceYourCalm)
      return closeGently("headers came too slowly")
    }
    watch.output(unwritten: unwritten, now: now)
    switch watch.tick(now: now) {
    case nil: break
    case .ping: ping()
    case .close(let reason) where reason == .unanswered || reason == .blocked:
      return closeNow(reason.rawValue)
    case .close(let reason):
      session.goAway(.noError, reason.rawValue)
      return closeGently(reason.rawValue)
    }
    pump()
  }

  // MARK: The channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    if context.channel.isActive { open() }
  }

  func handlerRemoved(context: ChannelHandlerContext) { ended() }

  func channelActive(context: ChannelHandlerContext) { open() }

  private func open() {
    hasOpened = true
    opened()
  }

  func channelInactive(context: ChannelHandlerContext) { ended() }

  /// The channel is connected. Called once.
  func opened() {
    limitUnsent()
    pump()
  }

  private func ended() {
    guard phase != .closed else { return }
    let wasOpen = phase == .open
    phase = .closed
    timer?.cancel()
    if wasOpen { connectionEnded(closeReason ?? "the peer closed the connection") }
    if hasOpened { closed() }
    context = nil
  }

  /// The channel is closed. Called once if `opened` was.
  func closed() {}

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    bytes.received.add(UInt64(buffer.readableBytes), ordering: .relaxed)
    guard phase == .open else { return }
    isInBurst = true
    mailbox.burst { receive(buffer) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isInBurst = false
    watch.received(now: .now())
    pump()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable { pump() }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    closeNow("\(error)")
  }
}

extension RPCLimits {
  var settings: HTTP2Settings {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = concurrentCalls
    settings.streamWindow = max(streamWindow, messageBytes + MessagePrefix.size)
    settings.connectionWindow = max(connectionWindow, settings.streamWindow)
    settings.maxReceivedFrame = frameBytes
    settings.maxSentFrame = frameBytes
    settings.headerListBytes = headerBytes
    settings.sendQueueHighWater = sendQueueBytes
    settings.sendQueueLowWater = sendQueueLowBytes
    return settings
  }
}
