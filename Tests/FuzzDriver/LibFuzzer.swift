#if LIBFUZZER
  import Fuzzing
  import Glibc
  import Simulator
  import Synchronization

  /// The same entry points and mutations under libFuzzer, which sees what code each input reaches.
  enum LibFuzzer {
    fileprivate struct Work: Sendable {
      var entry: EntryPoint
      var mutator: Mutator
      var seeds: [[UInt8]]
    }

    fileprivate static let work = Mutex<Work?>(nil)

    static func run(_ entry: EntryPoint, _ arguments: [String]) {
      work.withLock { $0 = Work(entry: entry, mutator: Mutator(for: entry, seed: 1), seeds: entry.seeds()) }
      let words = ["fuzz-driver"] + arguments + ["-max_len=\(entry.maximumBytes)"]
      var pointers = words.map { strdup($0) } + [nil]
      var count = CInt(words.count)
      pointers.withUnsafeMutableBufferPointer { buffer in
        var first = buffer.baseAddress
        exit(LLVMFuzzerRunDriver(&count, &first, execute))
      }
    }
  }

  @_silgen_name("LLVMFuzzerRunDriver")
  private func LLVMFuzzerRunDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
  ) -> CInt

  private func execute(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let entry = LibFuzzer.work.withLock { $0?.entry }
    do {
      _ = try entry?.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
    } catch {
      fatalError("law broken: \(error)")
    }
    return 0
  }

  /// Half of the mutations are ours, which know the shape of the input, half libFuzzer's own.
  @_cdecl("LLVMFuzzerCustomMutator")
  public func customMutator(
    _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ room: Int, _ seed: CUnsignedInt
  ) -> Int {
    guard seed & 1 == 0 else { return LLVMFuzzerMutate(bytes, count, room) }
    let input = Array(UnsafeBufferPointer(start: bytes, count: count))
    let output = LibFuzzer.work.withLock { work -> [UInt8] in
      guard var mutator = work?.mutator, let seeds = work?.seeds else { return input }
      mutator.random = SeededRandom(seed: UInt64(seed))
      return mutator.next(changing: input, with: seeds)
    }
    let length = min(output.count, room)
    output.withUnsafeBufferPointer {
      bytes.update(from: $0.baseAddress ?? UnsafePointer(bytes), count: length)
    }
    return length
  }

  @_silgen_name("LLVMFuzzerMutate")
  private func LLVMFuzzerMutate(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ room: Int) -> Int
#endif
