/// Calls that a service answered with OK, by method.
public final class ServiceCounters: Sendable {
  public let get = Count()
  public let put = Count()
  public let delete = Count()
  public let scan = Count()
  public let status = Count()
  /// Sync sessions that ended well, by what the client did.
  public let push = Count()
  public let pull = Count()

  public init() {}

  /// By the names that `Group.Status` reports.
  public var snapshot: [(name: String, value: UInt64)] {
    [
      ("requests_ok_get", get.value), ("requests_ok_put", put.value), ("requests_ok_delete", delete.value),
      ("requests_ok_scan", scan.value), ("requests_ok_status", status.value),
      ("requests_ok_push", push.value), ("requests_ok_pull", pull.value),
    ]
  }
}
