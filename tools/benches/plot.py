"""A PNG from a trace (`push --trace FILE`, `serve --trace DIR`): round-trip times and loss, rates, chunk and level, bytes
in flight, and why each change was made.

usage: tools/bench plot FILE [-o PNG]     (PNG: FILE with .png at its end)
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from trace_plot import BadTrace, save


def main():
    parser = argparse.ArgumentParser(description="A PNG from a trace of a sender's controller.", prog="tools/bench plot")
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path)
    options = parser.parse_args()
    output = options.output or options.file.with_suffix(".png")
    try:
        decisions, changed = save(options.file, output)
    except (BadTrace, OSError) as error:
        sys.exit(f"plot: {error}")
    print(f"{output}: {decisions} decisions, {changed} changes")


if __name__ == "__main__":
    main()
