"""A congestion control that was asked for and that the system refuses is said once: by a push on stderr, by a server in
its log however many sessions want it; and a pull that asked for another is told what is so, not that it is in use."""

import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from broken_disk_shim import shim
from streamdiff_tools import BINARY, Server, main, require, run, scratch

SOURCE = pathlib.Path(__file__).with_suffix(".c")
REASON = "Operation not permitted"
LOGGED = "the system refuses a congestion control"


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        source = work / "source.ndjson"
        # Some 120 kB as they travel, two seconds at the rate of the pulls: both sides have said what they do long before.
        with open(source, "w") as out:
            for place in range(40):
                out.write(f'{{"key":"user/{place:08d}","value":"{os.urandom(3000).hex()}"}}\n')
        without = {"LD_PRELOAD": shim(work, SOURCE), "REFUSE_CONGESTION": "cubic"}
        with Server(work / "data", "--congestion", "cubic", environment=without) as server:

            def push(keyspace, *flags):
                done = subprocess.run(
                    [BINARY, "push", source, "--keyspace", keyspace, "--server", server.address, *flags],
                    env={**os.environ, **{name: str(value) for name, value in without.items()}},
                    capture_output=True, text=True, timeout=60)
                require(done.returncode == 0, f"push {flags}: exit {done.returncode}: {done.stderr}")
                return done.stderr

            said = push("one", "--congestion", "cubic", "--rate-max", "60kB")
            require(said.count("--congestion cubic is refused by the system") == 1 and REASON in said, f"a push said: {said!r}")
            said = push("two")
            require(said == "", f"a push that asked for nothing said: {said!r}")
            require(LOGGED not in server.messages(), "what a push was refused stands in the server's log")

            def pull(name, *flags):
                return run("pull", work / name, "--keyspace", "one", "--rate-max", "60kB", *flags, server=server).stderr

            said = pull("asked", "--congestion", "bbr")
            require("keeps its own setting, cubic, which its system refuses" in said, f"a pull was told: {said!r}")
            require("in place of" not in said, f"a pull was told that cubic is in use: {said!r}")
            said = pull("same", "--congestion", "cubic")
            require("congestion cubic, which its system refuses" in said, f"a pull was told: {said!r}")
            said = pull("silent")
            require(said == "", f"a pull that asked for no congestion control was told: {said!r}")
            log = server.messages()
            require(log.count(LOGGED) == 1 and REASON in log, f"the log of three pulls: {log}")
    return "once each"


if __name__ == "__main__":
    main(law)
