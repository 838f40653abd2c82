"""tools/bench kill9: the law of tools/tests/kill9.py at full size, 30 kills."""

import pathlib
import runpy
import sys

test = pathlib.Path(__file__).resolve().parents[1] / "tests" / "kill9.py"
sys.argv = [str(test), "--kills", "30", "--entries", "200000", *sys.argv[1:]]
runpy.run_path(str(test), run_name="__main__")
