import CStreamDiffProtos
public import NIOCore

/// A message of Protos/ as a plain value.
public protocol WireMessage: Hashable, Sendable {
  /// - Parameter bytes: one whole message, without its gRPC prefix.
  /// - Throws: `.malformed` for bytes that are no such message, `.tooLarge` when taking them apart would
  ///   need memory out of proportion to their number.
  init(decoding bytes: ByteBuffer) throws(WireError)

  /// Appends the message's bytes, without a gRPC prefix.
  func encode(into buffer: inout ByteBuffer)
}

extension WireMessage {
  public func encode() -> ByteBuffer {
    var buffer = ByteBuffer()
    encode(into: &buffer)
    return buffer
  }
}

/// Between protobuf-c's structs and `ByteBuffer`.
enum ProtoCoding {
  /// Heap bytes for each byte of a message that is taken apart. An honest message of many small parts
  /// (keys with digests) needs five; one of nothing but unknown or empty fields would need fifty.
  static let honestAmplification = 12

  /// The shape of protobuf-c's generated functions.
  typealias Unpack<M> =
    (UnsafeMutablePointer<ProtobufCAllocator>?, Int, UnsafePointer<UInt8>?) -> UnsafeMutablePointer<M>?

  /// Takes `bytes` apart and lends the result to `body`.
  static func decode<M, R>(
    _ bytes: ByteBuffer, amplification: Int = honestAmplification,
    _ unpack: Unpack<M>, _ body: (borrowing M) throws(WireError) -> R
  ) throws(WireError) -> R {
    let heapBytes = (64 << 10) + amplification * bytes.readableBytes
    let result: Result<R, WireError> = MessageArena.lend(heapBytes: heapBytes) { arena in
      let message = bytes.withUnsafeReadableBytes { bytes in
        arena.withAllocator { unpack($0, bytes.count, bytes.bindMemory(to: UInt8.self).baseAddress) }
      }
      guard let message else {
        let name = String(describing: M.self).split(separator: "_").last ?? ""
        return .failure(
          arena.isExhausted
            ? WireError(.tooLarge, "\(name): its \(bytes.readableBytes) bytes unpack to over \(heapBytes)")
            : WireError(.malformed, "\(bytes.readableBytes) bytes are no \(name)"))
      }
      do throws(WireError) {
        return .success(try body(message.pointee))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Builds an `M` and appends its bytes to `buffer`.
  /// - Parameters:
  ///   - initialize: protobuf-c's generated function for `M`.
  ///   - fill: sets the fields; what they point to lives in the arena or outlives the call.
  static func encode<M>(
    into buffer: inout ByteBuffer, _ empty: M, _ initialize: (UnsafeMutablePointer<M>?) -> Void,
    _ fill: (inout M, inout MessageArena) -> Void
  ) {
    MessageArena.lend(heapBytes: .max) { arena in
      var message = empty
      initialize(&message)
      fill(&message, &arena)
      withUnsafePointer(to: &message) {
        $0.withMemoryRebound(to: ProtobufCMessage.self, capacity: 1) { message in
          let size = protobuf_c_message_get_packed_size(message)
          guard size > 0 else { return }
          buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) {
            protobuf_c_message_pack(message, $0.bindMemory(to: UInt8.self).baseAddress)
          }
        }
      }
    }
  }

  /// What an unset `string` field points to; it has no size before it.
  /// Unsafe to the compiler only: the library's constant, compared by address and never written.
  private nonisolated(unsafe) static let emptyString: UnsafeMutablePointer<CChar>? = {
    var message = Grpc__Health__V1__HealthCheckRequest()
    grpc__health__v1__health_check_request__init(&message)
    return message.service
  }()

  /// - Parameters:
  ///   - text: a string field of a message that `decode` lends.
  ///   - limit: bytes, of what is kept beyond the message.
  static func string(
    _ text: UnsafeMutablePointer<CChar>?, _ field: StaticString, limit: Int = .max
  ) throws(WireError) -> String {
    guard let text, text != emptyString else { return "" }
    let utf8 = UnsafeRawBufferPointer(start: text, count: MessageArena.size(of: text) - 1)
    guard utf8.count <= limit else {
      throw WireError(.tooLarge, "\(field) of \(utf8.count) bytes; at most \(limit) are taken")
    }
    guard let string = String(validating: utf8, as: UTF8.self) else {
      throw WireError(.malformed, "\(field) is not UTF-8")
    }
    return string
  }
}

extension [UInt8] {
  /// A `bytes` field, copied. (An empty one has no address.)
  init(_ field: ProtobufCBinaryData) {
    self.init(UnsafeRawBufferPointer(start: field.data, count: field.len))
  }
}

extension Array {
  /// A repeated field of numbers, copied.
  init(_ first: UnsafeMutablePointer<Element>?, count: Int) {
    self.init(UnsafeBufferPointer(start: first, count: count))
  }
}
