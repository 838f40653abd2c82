"""Builds the programs of others that tools/benches measure beside ours: outside the package, in the cache directory."""

import pathlib
import subprocess

from streamdiff_tools import ROOT, cache_directory

SOURCES = ROOT / "tools/benches/peers"


def peers_directory():
    output = cache_directory() / "peers"
    output.mkdir(exist_ok=True)
    return output


def cpp_peer(name, protos, libraries=(), services=False):
    """peers/NAME.cc with the messages of `protos`, and with their services' stubs where asked for. - Returns: the program."""
    output = peers_directory()
    source = SOURCES / f"{name}.cc"
    binary = output / name
    inputs = [source, *(ROOT / "Protos" / proto for proto in protos)]
    if binary.exists() and all(binary.stat().st_mtime >= each.stat().st_mtime for each in inputs):
        return binary
    stubs = [f"--grpc_out={output}", "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin"] if services else []
    subprocess.run(["protoc", f"-I{ROOT}/Protos", f"--cpp_out={output}", *stubs, *protos], check=True)
    endings = (".pb.cc", ".grpc.pb.cc") if services else (".pb.cc",)
    sources = [str(output / proto.replace(".proto", ending)) for proto in protos for ending in endings]
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++", "protobuf", *libraries], capture_output=True, text=True, check=True
    ).stdout.split()
    subprocess.run(["g++", "-O2", "-std=c++17", f"-I{output}", str(source), *sources, "-o", str(binary), *flags], check=True)
    return binary


def grpc_swift_peer():
    """peers/grpc-swift. The first time takes minutes: its dependencies are as many as ours and BoringSSL. - Returns: the program."""
    build = peers_directory() / "grpc-swift-build"
    place = ["-c", "release", "--package-path", str(SOURCES / "grpc-swift"), "--scratch-path", str(build)]
    subprocess.run(["swift", "build", "-j", "2", "-q", *place], check=True)
    shown = subprocess.run(["swift", "build", "--show-bin-path", *place], capture_output=True, text=True, check=True)
    return pathlib.Path(shown.stdout.strip()) / "grpc-swift-peer"
