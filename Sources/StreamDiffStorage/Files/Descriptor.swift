import Glibc

/// An open file descriptor, closed once, when its owner goes: also an owner whose initializer throws.
struct Descriptor: ~Copyable {
  let number: CInt

  /// - Returns: `nil` when `open` failed; errno says why.
  init?(_ path: String, _ flags: CInt) {
    number = Glibc.open(path, flags | O_CLOEXEC, 0o666)
    if number < 0 { return nil }
  }

  deinit { if number >= 0 { close(number) } }
}
