// swift-tools-version: 6.2
import PackageDescription

// Built by tools/bench transport, outside the project's own package, into the cache directory.
let package = Package(
  name: "grpc-swift-peer",
  dependencies: [
    .package(url: "https://github.com/grpc/grpc-swift-2.git", exact: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", exact: "2.9.2"),
  ],
  targets: [
    .systemLibrary(name: "CISAL", pkgConfig: "libisal"),
    .executableTarget(
      name: "grpc-swift-peer",
      dependencies: [
        "CISAL",
        .product(name: "GRPCCore", package: "grpc-swift-2"),
        .product(name: "GRPCNIOTransportHTTP2Posix", package: "grpc-swift-nio-transport"),
      ]),
  ]
)
