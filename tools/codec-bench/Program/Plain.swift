import ArgumentParser
import Glibc
import StreamDiffCore

/// What is sent.
enum Plain {
  static func bytes(of path: String, most: Int) throws -> [UInt8] {
    guard let file = fopen(path, "re") else { throw ValidationError("\(path) cannot be read") }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 20)
    while bytes.count < most {
      let count = fread(&part, 1, min(part.count, most - bytes.count), file)
      guard count > 0 else { break }
      bytes += part[..<count]
    }
    guard ferror(file) == 0, !bytes.isEmpty else {
      throw ValidationError("\(path) is empty or cannot be read")
    }
    return bytes
  }

  /// The puts that bring the lines of a file to somebody who has none of them, in order of keys.
  static func operations(of path: String, most: Int) throws -> [UInt8] {
    let tab = UInt8(ascii: "\t")
    var lines = try bytes(of: path, most: .max).split(separator: UInt8(ascii: "\n"))
    lines.sort { $0.prefix { $0 != tab }.lexicographicallyPrecedes($1.prefix { $0 != tab }) }
    var output: [UInt8] = []
    for line in lines where output.count < most {
      guard let place = line.firstIndex(of: tab) else { throw ValidationError("a line has no tab") }
      try OperationEncoding.append(
        put: Array(line[..<place]), expecting: .absent, value: Array(line[(place + 1)...]), to: &output)
    }
    return output
  }
}
