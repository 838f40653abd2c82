import Foundation

/// Inputs that once did harm. They stay: every run of an entry point begins with its own.
public enum FoundInputs {
  /// `Tests/FuzzTests/Found/NAME/…`, one input a file.
  public static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("FuzzTests/Found").path

  public static func of(_ entry: EntryPoint) -> [(name: String, bytes: [UInt8])] {
    let place = "\(directory)/\(entry.name)"
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: place) else { return [] }
    return names.sorted().map { name in
      guard let content = FileManager.default.contents(atPath: "\(place)/\(name)") else {
        preconditionFailure("\(place)/\(name) cannot be read")
      }
      return (name, Array(content))
    }
  }

  /// Entry points that have any; a folder of another name would never be read.
  public static var folders: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: directory))?.filter { !$0.hasPrefix(".") } ?? []
  }
}
