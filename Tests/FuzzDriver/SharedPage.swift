import Glibc

/// A file in memory that outlives this process: what it was doing when it died, and how far it was.
///
/// Eight-byte integers of this machine: executions | bytes of the present input | nanoseconds of the
/// slowest execution | bytes of its input | observations | unused; from byte 64 the present input, from
/// byte 64 + 2 MiB the slowest.
struct SharedPage {
  private static let headBytes = 64
  private static let inputBytes = 2 << 20

  private let page: UnsafeMutableRawPointer

  init(_ path: String) {
    let length = Self.headBytes + 2 * Self.inputBytes
    let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, off_t(length)) == 0,
      let page = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), page != MAP_FAILED
    else { Main.leave(66, "\(path): cannot be shared") }
    close(descriptor)
    self.page = page
  }

  func begin(_ input: [UInt8]) {
    precondition(input.count <= Self.inputBytes, "an input of \(input.count) bytes")
    store(UInt64(input.count), at: 1)
    input.withUnsafeBytes {
      (page + Self.headBytes).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(page), byteCount: $0.count)
    }
  }

  func ended(_ executions: UInt64, nanoseconds: UInt64, observations: Int) {
    store(executions, at: 0)
    store(UInt64(observations), at: 4)
    guard nanoseconds > load(at: 2) else { return }
    store(nanoseconds, at: 2)
    store(load(at: 1), at: 3)
    let input = page + Self.headBytes
    (input + Self.inputBytes).copyMemory(from: input, byteCount: Int(load(at: 1)))
  }

  private func store(_ value: UInt64, at place: Int) {
    page.storeBytes(of: value, toByteOffset: 8 * place, as: UInt64.self)
  }
  private func load(at place: Int) -> UInt64 { page.load(fromByteOffset: 8 * place, as: UInt64.self) }
}
