public import StreamDiffCore

/// What a directory keyspace holds under a path, read key by key: the command line's `get` and `scan`.
public enum DirectoryListing {
  /// Hands out the bytes of the file at `path`, or the target of the link, piece by piece, each verified.
  ///
  /// - Returns: false, with nothing handed out, when there is no such file.
  /// - Throws: `ClientFailure`; `.refused` for a directory. What was handed out before is then of no use.
  public static func read(
    _ path: [UInt8], in keyspace: KeyspaceName, from client: StreamDiffClient,
    _ emit: ([UInt8]) throws -> Void
  ) async throws -> Bool {
    let name = path.last == UInt8(ascii: "/") ? Array(path.dropLast()) : path
    guard let value = try await client.get(DirectoryKey.record(name), in: keyspace).value else {
      let directory = DirectoryKey.record(name + [UInt8(ascii: "/")])
      guard try await client.get(directory, in: keyspace).value == nil else {
        throw ClientFailure(.failed, "\(printable(name)) is a directory; `scan` lists what it holds")
      }
      return false
    }
    switch try DirectoryRecord(decoding: value, path: name).content {
    case .directory: preconditionFailure("a directory's path ends in a slash")
    case .link(let target): try emit(target)
    case .file(let depth, _, let items):
      for item in items {
        let key = depth == 0 ? DirectoryKey.piece(name, item.digest) : DirectoryKey.part(name, item.digest)
        let bytes = try await fetch(key, item, of: name, in: keyspace, from: client)
        guard depth == 1 else {
          try emit(bytes)
          continue
        }
        guard let pieces = PieceList.decode(part: bytes) else {
          throw ClientFailure(.verification, "\(printable(name)): a damaged list of pieces")
        }
        for piece in pieces {
          try emit(
            try await fetch(
              DirectoryKey.piece(name, piece.digest), piece, of: name, in: keyspace, from: client))
        }
      }
    }
    return true
  }

  private static func fetch(
    _ key: [UInt8], _ item: DirectoryRecord.Item, of path: [UInt8], in keyspace: KeyspaceName,
    from client: StreamDiffClient
  ) async throws -> [UInt8] {
    guard let bytes = try await client.get(key, in: keyspace).value else {
      throw ClientFailure(.failed, "\(printable(path)) was changed while it was read; try again")
    }
    guard SHA256.digest(bytes) == item.digest else {
      throw ClientFailure(.verification, "\(printable(path)): a piece is not what its digest says")
    }
    return bytes
  }

  /// The path that a key stands for when it is a record's: what `scan` lists.
  public static func path(ofRecord key: [UInt8]) -> [UInt8]? {
    DirectoryKey.isRecord(key) ? Array(key.dropLast()) : nil
  }

  /// The path that a key belongs to.
  public static func path(of key: [UInt8]) -> [UInt8] { Array(DirectoryKey.path(of: key)) }
}
