import CCrypto

/// SHA-256 (FIPS 180-4) by libcrypto. One value hashes many inputs, one after another; reusing it
/// is what makes short inputs cheap. It fails only when memory is out, which stops the process.
@safe public struct SHA256: ~Copyable, @unchecked Sendable {  // the context has one owner, on any thread
  private let context: OpaquePointer

  public init() {
    guard let context = unsafe EVP_MD_CTX_new() else {
      preconditionFailure("no memory for a SHA-256 context")
    }
    unsafe self.context = context
    restart()
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  public mutating func update(_ bytes: RawSpan) {
    let status = unsafe bytes.withUnsafeBytes { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    precondition(status == 1, "SHA-256 did not take \(bytes.byteCount) bytes")
  }

  public mutating func update(_ bytes: [UInt8]) { unsafe update(bytes.span.bytes) }

  /// The digest of everything since the last `finish`; the next input starts empty.
  public mutating func finish() -> Digest {
    let digest = unsafe withUnsafeTemporaryAllocation(byteCount: Digest.byteCount, alignment: 8) { buffer in
      let status = unsafe EVP_DigestFinal_ex(
        context, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
      precondition(status == 1, "SHA-256 did not finish")
      return unsafe Digest(copying: buffer.bytes)
    }
    restart()
    return digest
  }

  /// The digest of `bytes` alone.
  public static func digest(_ bytes: RawSpan) -> Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  public static func digest(_ bytes: [UInt8]) -> Digest { unsafe digest(bytes.span.bytes) }

  private func restart() {
    let status = unsafe EVP_DigestInit_ex2(context, Self.algorithm, nil)
    precondition(status == 1, "SHA-256 did not start")
  }

  /// Fetched once for the process: a fetch per hash costs more than a short hash (about 180 ns).
  /// Unsafe to the compiler only: set once, never freed, and libcrypto lets any thread use a fetched EVP_MD.
  private nonisolated(unsafe) static let algorithm: OpaquePointer = {
    guard let algorithm = unsafe EVP_MD_fetch(nil, "SHA2-256", nil) else {
      preconditionFailure("libcrypto has no SHA-256")
    }
    return unsafe algorithm
  }()
}
