// swift-tools-version: 6.2
import PackageDescription

/// Every target of ours: existentials say `any`, C types cannot leak into an API, members need
/// their module imported, and a warning is an error.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

/// A module map over a library that Debian packages.
func system(_ name: String, _ pkgConfig: String, _ package: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([package])])
}

let package = Package(
  name: "streamdiff",
  products: [.executable(name: "streamdiff", targets: ["streamdiff"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    .package(url: "https://github.com/apple/swift-collections", exact: "1.6.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", exact: "2.13.0"),
  ],
  targets: [
    system("CNghttp2", "libnghttp2", "libnghttp2-dev"),
    system("CProtobufC", "libprotobuf-c", "libprotobuf-c-dev"),
    system("CZstd", "libzstd", "libzstd-dev"),
    system("CRocksDB", "rocksdb", "librocksdb-dev"),
    system("CISAL", "libisal", "libisal-dev"),
    system("CCrypto", "libcrypto", "libssl-dev"),
    .target(name: "CLinux"),
    .target(name: "CStreamDiffProtos", dependencies: ["CProtobufC"]),

    .target(
      name: "StreamDiffCore",
      dependencies: [
        "CISAL", "CCrypto", "CZstd", .product(name: "DequeModule", package: "swift-collections"),
      ],
      swiftSettings: strict + [.strictMemorySafety()]),
    .target(
      name: "StreamDiffWire",
      dependencies: [
        "StreamDiffCore", "CNghttp2", "CStreamDiffProtos", "CProtobufC",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "DequeModule", package: "swift-collections"),
      ],
      swiftSettings: strict),
    .target(
      name: "StreamDiffStorage",
      dependencies: ["StreamDiffCore", "CRocksDB", "CLinux"],
      swiftSettings: strict),
    .target(
      name: "StreamDiffService",
      dependencies: [
        "StreamDiffCore", "StreamDiffWire", "StreamDiffStorage", "CLinux",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "DequeModule", package: "swift-collections"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "streamdiff",
      dependencies: [
        "StreamDiffCore", "StreamDiffService",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),

    .target(name: "CLinklab", path: "tools/linklab/CLinklab"),
    .target(
      name: "LinkModel", path: "tools/linklab/Model", swiftSettings: strict + [.strictMemorySafety()]),
    .executableTarget(
      name: "linklab",
      dependencies: [
        "LinkModel", "CLinklab", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "tools/linklab/Program", swiftSettings: strict),
    .executableTarget(
      name: "transport",
      dependencies: [
        "StreamDiffCore", "StreamDiffWire", "StreamDiffService",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ],
      path: "tools/transport/Program", swiftSettings: strict),
    .testTarget(name: "LinkTests", dependencies: ["LinkModel"], swiftSettings: strict),
    .executableTarget(
      name: "codec-bench",
      dependencies: [
        "StreamDiffCore", "StreamDiffWire", .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "tools/codec-bench/Program", swiftSettings: strict),

    .target(
      name: "Fuzzing",
      dependencies: [
        "Simulator", "StreamDiffCore", "StreamDiffWire", "StreamDiffStorage", "StreamDiffService",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
      ],
      path: "Tests/Fuzzing", swiftSettings: strict),
    .executableTarget(
      name: "fuzz-driver", dependencies: ["Fuzzing", "Simulator"], path: "Tests/FuzzDriver",
      swiftSettings: strict),
    .testTarget(
      name: "FuzzTests", dependencies: ["Fuzzing"], exclude: ["Found"], swiftSettings: strict),

    .testTarget(
      name: "CoreTests", dependencies: ["StreamDiffCore"],
      exclude: ["Merkle/golden.txt", "Sync/Transcripts"], swiftSettings: strict),
    .testTarget(
      name: "WireTests",
      dependencies: ["StreamDiffWire", "StreamDiffCore", .product(name: "NIOCore", package: "swift-nio")],
      swiftSettings: strict),
    .target(
      name: "Simulator", dependencies: ["StreamDiffStorage"], path: "Tests/Simulator", swiftSettings: strict),
    .testTarget(
      name: "StorageTests", dependencies: ["Simulator", "StreamDiffStorage", "StreamDiffCore"],
      swiftSettings: strict),
    .testTarget(
      name: "ServiceTests",
      dependencies: [
        "Simulator", "StreamDiffService", "StreamDiffWire", "StreamDiffStorage", "StreamDiffCore",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOEmbedded", package: "swift-nio"),
      ],
      swiftSettings: strict),
  ]
)
