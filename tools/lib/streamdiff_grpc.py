"""Stubs of a stock gRPC client, generated from Protos/, and the digests that streamdiff.proto specifies."""

import hashlib
import importlib
import os
import sys

import grpc_tools.protoc

from streamdiff_tools import ROOT, Failure


def stubs(folder):
    """Generates into `folder`. Returns the modules (keyvalue_pb2, keyvalue_pb2_grpc)."""
    protos = os.path.join(ROOT, "Protos")
    names = [f"streamdiff/v1/{name}.proto" for name in ("common", "keyvalue")]
    if grpc_tools.protoc.main(["protoc", f"--proto_path={protos}", f"--python_out={folder}", f"--grpc_python_out={folder}", *names]):
        raise Failure("grpc_tools.protoc refused Protos/")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return importlib.import_module("streamdiff.v1.keyvalue_pb2"), importlib.import_module("streamdiff.v1.keyvalue_pb2_grpc")


def entry_digest(key, value):
    def length(data):
        return len(data).to_bytes(4, "little")

    return hashlib.sha256(b"\x02" + length(key) + key + length(value) + hashlib.sha256(value).digest()).digest()
