import StreamDiffCore
import Testing

@Suite("traces of a directory") struct TraceShelfTests {
  private static let limits = TraceShelf.Limits(bytes: 1000, traceBytes: 400, leastBytes: 100)

  @Test("the oldest that nobody writes goes first, those of earlier times included")
  func oldest() {
    var shelf = TraceShelf(Self.limits)
    shelf.adopt("a", bytes: 300)
    shelf.adopt("b", bytes: 300)
    #expect(shelf.begin("c") == [])
    #expect(shelf.begin("d") == [])
    #expect(shelf.write(300, to: "c") == .granted(removing: []))
    shelf.end("c")
    #expect(shelf.write(101, to: "d") == .granted(removing: ["a"]))
    #expect(shelf.write(299, to: "d") == .granted(removing: []))
    #expect(shelf.begin("e") == ["b"])
    #expect(shelf.write(400, to: "e") == .granted(removing: ["c"]))
  }

  @Test("where all are written the oldest goes, and takes no more")
  func written() {
    var shelf = TraceShelf(Self.limits)
    for name in ["a", "b"] {
      #expect(shelf.begin(name) == [])
      #expect(shelf.write(400, to: name) == .granted(removing: []))
    }
    #expect(shelf.begin("c") == [])
    #expect(shelf.write(201, to: "c") == .granted(removing: ["a"]))
    #expect(shelf.write(1, to: "a") == .removed)
    shelf.end("a")
    #expect(shelf.write(199, to: "c") == .granted(removing: []))
  }

  @Test("one trace has its own bound and may be filled to it")
  func full() {
    var shelf = TraceShelf(Self.limits)
    _ = shelf.begin("a")
    #expect(shelf.write(401, to: "a") == .full)
    #expect(shelf.write(400, to: "a") == .granted(removing: []))
    #expect(shelf.write(1, to: "a") == .full)
    #expect(shelf.write(.max, to: "a") == .full)
  }

  @Test("however many sessions begin, the newest is there and the bounds hold", arguments: 1...50)
  func bounds(seed: Int) {
    var random = SplitMix(seed: seed)
    var shelf = TraceShelf(Self.limits)
    var there: [String: Int] = [:]
    var order: [String] = []
    func remove(_ names: [String]) {
      for name in names { #expect(there.removeValue(forKey: name) != nil) }
      #expect(there.values.reduce(0) { $0 + max($1, Self.limits.leastBytes) } <= Self.limits.bytes)
    }
    for number in 0..<400 {
      switch Int.random(in: 0..<4, using: &random) {
      case 0:
        order.append("\(number)")
        there[order.last!] = 0
        remove(shelf.begin(order.last!))
        #expect(there[order.last!] != nil)
      case 1: if let name = order.randomElement(using: &random) { shelf.end(name) }
      default:
        guard let name = order.suffix(12).randomElement(using: &random) else { continue }
        let bytes = Int.random(in: 0...200, using: &random)
        switch shelf.write(bytes, to: name) {
        case .granted(let removed):
          there[name]! += bytes
          remove(removed)
        case .full: #expect(there[name]! + bytes > Self.limits.traceBytes)
        case .removed: #expect(there[name] == nil)
        }
      }
    }
  }
}
