#!/usr/bin/env python3
"""`tools/setup` installs into the tree that it belongs to, wherever that was copied from, and remembers only what can
be imported from there. Reaches no network: what it is told to install is a wheel made here.
"""

import pathlib
import shutil
import subprocess
import sys
import zipfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import ROOT, main, require, scratch

NAME = "streamdiff_probe"


def wheel(directory, version):
    """A package of one module, `streamdiff_probe`."""
    path, info = directory / f"{NAME}-{version}-py3-none-any.whl", f"{NAME}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr(f"{NAME}.py", f"version = {version}\n")
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")
    return path


def checkout(place, package, imports=NAME):
    (place / "tools").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "tools/setup", place / "tools/setup")
    (place / "tools/requirements-plot.txt").write_text(f"# imports: {imports}\n{package}\n")
    return place


def setup(place):
    return subprocess.run([place / "tools/setup", "plot"], capture_output=True, text=True, timeout=120)


def has(place):
    """The version that is imported in that tree; nothing where it is not."""
    code = f"import {NAME}; print({NAME}.version, {NAME}.__file__)"
    done = subprocess.run([place / ".venv-tools/bin/python", "-c", code], capture_output=True, text=True, cwd=place)
    if done.returncode != 0:
        return None
    version, file = done.stdout.split()
    require(pathlib.Path(file).is_relative_to(place), f"{place} imports {file}")
    return version


def well(place, version):
    done = setup(place)
    require(done.returncode == 0, f"setup in {place.name}: {done}")
    require(has(place) == version, f"setup in {place.name} left version {has(place)} for {version}: {done}")
    return done


def law():
    with scratch() as work:
        work = pathlib.Path(work).resolve()
        first, second = wheel(work, 1), wheel(work, 2)
        one = checkout(work / "one", first)
        require("pip install" in well(one, "1").stdout, "the first setup installs")
        require(well(one, "1").stdout == "", "where nothing is missing there is nothing to do")

        # Copied: the scripts of its environment name the tree that it was copied from.
        two = work / "two"
        shutil.copytree(one, two, symlinks=True)
        well(checkout(two, second), "2")
        require(has(one) == "1", "a setup changed the tree that its own was copied from")

        # What the stamp says is there is gone.
        for file in two.glob(f".venv-tools/lib/*/site-packages/{NAME}*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()
        require(has(two) is None, "the package is still there, or this test tests nothing")
        well(two, "2")

        # An environment that imports from elsewhere is none of this tree's.
        shutil.rmtree(two / ".venv-tools")
        (two / ".venv-tools").symlink_to(one / ".venv-tools")
        well(two, "2")
        require(has(one) == "1", "a setup changed the tree that its environment was borrowed from")

        # What cannot be imported is told, each time.
        checkout(two, second, imports=f"{NAME} streamdiff_absent")
        for _ in range(2):
            done = setup(two)
            require(done.returncode != 0 and "streamdiff_absent" in done.stderr, f"what cannot be imported: {done}")


if __name__ == "__main__":
    main(law)
