"""What the benches in labs of `linklab` have in common: what to measure, how often, where it is kept, and that there must
be a lab to measure in."""

import argparse

from lab import why_not
from streamdiff_tools import cache_directory, require


class Options(argparse.ArgumentParser):
    """`chosen`, of `known`, which are called a `what`; `repeats`; and what a bench adds."""

    def __init__(self, name, what, known):
        super().__init__(prog=f"tools/bench {name}")
        self.name, self.what, self.known = name, what, known
        self.add_argument("chosen", nargs="*", metavar=what.upper(), help=f"of {', '.join(known)} (default: all)")
        self.add_argument("--repeats", type=int, default=3)

    def keep(self, directory=None):
        """`--out`, a file with a line for each run; and the flag for a directory with the trace of each."""
        self.add_argument("--out", default=str(cache_directory() / f"{self.name}.jsonl"), help="the runs; what is in it is not measured again")
        if directory:
            self.add_argument(directory, default=str(cache_directory() / self.name), help="a directory for traces, and what is made of them")

    def read(self):
        options = self.parse_args()
        for each in options.chosen:
            require(each in self.known, f"no {self.what} '{each}'; there are: {', '.join(self.known)}")
        reason = why_not()
        require(reason is None, f"no lab on this machine: {reason}")
        return options
