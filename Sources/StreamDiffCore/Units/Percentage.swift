/// A share of 1 as people write it: `0.5%`.
///
/// Digits move, and nothing is multiplied: what is written reads back as the same number.
public struct Percentage: Hashable, Sendable, CustomStringConvertible {
  public let share: Double

  /// - Parameter share: from 0 to 1.
  public init(_ share: Double) { self.share = share }

  /// - Returns: `nil` without `%`: whether `0.5` means a half or half a percent nobody can tell.
  public init?(_ text: some StringProtocol) {
    let number = text.dropLast()
    guard text.hasSuffix("%"), number.utf8.allSatisfy({ 0x30...0x39 ~= $0 || $0 == UInt8(ascii: ".") }),
      let share = Double("\(number)e-2")
    else { return nil }
    self.share = share
  }

  public var description: String {
    // "0.005", or "5e-05".
    let parts = "\(share)".split(separator: "e")
    let mantissa = parts[0].split(separator: ".")
    let digits = mantissa.joined()
    let point = mantissa[0].count + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0) + 2
    let padded =
      String(repeating: "0", count: max(0, 1 - point)) + digits
      + String(repeating: "0", count: max(0, point - digits.count))
    let whole = padded.prefix(max(1, point)).drop { $0 == "0" }
    var fraction = padded.dropFirst(max(1, point))
    while fraction.last == "0" { fraction.removeLast() }
    return "\(whole.isEmpty ? "0" : whole)\(fraction.isEmpty ? "" : ".\(fraction)")%"
  }
}
