import ArgumentParser

/// Bytes on the command line: a number, with kB, MB, GB, TB (thousands) or KiB, MiB, GiB, TiB behind it.
struct ByteSize: ExpressibleByArgument {
  let bytes: UInt64

  init?(argument: String) {
    let digits = argument.prefix { $0.isASCII && $0.isNumber }
    let unit = argument.dropFirst(digits.count).lowercased()
    guard let number = UInt64(digits), let scale = Self.scales[unit] else { return nil }
    let (bytes, isTooLarge) = number.multipliedReportingOverflow(by: scale)
    guard !isTooLarge else { return nil }
    self.bytes = bytes
  }

  private static let scales: [String: UInt64] = [
    "": 1, "b": 1, "kb": 1000, "mb": 1_000_000, "gb": 1_000_000_000, "tb": 1_000_000_000_000,
    "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
  ]
}
