"""Builds tools/tests/broken_disk.c: calls of a process on files of a kind fail, or take their time."""

import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "tests/broken_disk.c"


def shim(work):
    """The library for LD_PRELOAD, in `work`. What it does is said in the environment: see SOURCE."""
    library = work / "broken_disk.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True)
    return library
