"""Builds tools/tests/broken_disk.c (calls of a process on files of a kind fail, or take their time), or another like it."""

import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "tests/broken_disk.c"


def shim(work, source=SOURCE):
    """The library for LD_PRELOAD, in `work`. What it does is said in the environment: see `source`."""
    library = work / source.with_suffix(".so").name
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library
