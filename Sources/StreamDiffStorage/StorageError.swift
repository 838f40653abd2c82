/// What went wrong with a disk, where, and so what can be done about it.
public struct StorageError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Hashable, Sendable {
    /// Bytes are not what was written. Do not serve them; restore or repair the named file.
    case damaged
    /// The system refused a read or write. After a failed write or sync the store stops for good.
    case io
    /// The disk is full.
    case noSpace
    /// Another process uses this directory.
    case locked
    /// A newer release wrote this directory; this one does not know its format.
    case newerFormat
    /// The directory holds something else.
    case foreign
    /// More bytes than a record, a value or a key may have.
    case tooLarge
    /// The directory cannot be created or written.
    case unwritable
    /// The store stopped earlier, by `close` or by a failure that was final.
    case closed
    /// The answer needs the disk, and the read was not to wait. Inside Storage alone.
    case notCached
    /// No such file or directory.
    case notFound
  }

  public var code: Code
  /// The file or directory at fault, where there is one.
  public var path: String?
  /// Byte offset in `path`.
  public var offset: UInt64?
  /// One line: what was found, and what to do when that is not plain from the code.
  public var detail: String

  public init(_ code: Code, path: String? = nil, offset: UInt64? = nil, _ detail: String) {
    self.code = code
    self.path = path
    self.offset = offset
    self.detail = detail
  }

  public var description: String {
    var text = code.rawValue
    if let path { text += ": \(path)" }
    if let offset { text += " at offset \(offset)" }
    return "\(text): \(detail)"
  }
}
