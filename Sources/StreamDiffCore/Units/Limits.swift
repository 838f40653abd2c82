/// Bounds that hold everywhere, each with its reason. What only one module bounds stands there.
public enum Limits {
  /// A key: long enough for any path, short enough that a page of keys fits a message.
  public static let keyBytes = 8 << 10
  /// A value: one entry is one log record and one message.
  public static let valueBytes = 1 << 20
  /// Plain bytes of one chunk on the wire, whatever the controller wishes.
  public static let chunkBytes = 1 << 20
  /// One log entry's payload: a value of full size with its key, or a batch of smaller operations.
  public static let commandBytes = 2 << 20
  /// Sessions that the state remembers, about 200 bytes each; a new one beyond is refused until old ones
  /// are forgotten.
  public static let sessionRecords = 1 << 20
  /// One gRPC message: a chunk or a value of full size, and what stands around it.
  public static let messageBytes = 4 << 20
}
