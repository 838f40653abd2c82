"""The tests that a log of Swift Testing says have begun and not that they have ended: open_tests.py LOG."""

import re
import sys
from collections import Counter
from pathlib import Path

NAME = r'(".*"|[^" ]+)'
BEGUN = re.compile(rf"^◇ Test (?!case |run ){NAME} started\.$")
ENDED = re.compile(rf"^[✔✘] Test (?!case |run ){NAME}(?: with \d+ test cases?)? (?:passed|failed) after ")


def open_tests(log: str) -> list[str]:
    tests: Counter[str] = Counter()
    for line in log.splitlines():
        if match := BEGUN.match(line):
            tests[match[1]] += 1
        elif match := ENDED.match(line):
            tests[match[1]] -= 1
    return sorted(name for name, count in tests.items() if count > 0)


if __name__ == "__main__":
    for test in open_tests(Path(sys.argv[1]).read_text(errors="replace")):
        print(test)
