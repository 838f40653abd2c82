"""One flipped bit anywhere in the log, the last record included, is found and named (file and offset):
the server refuses to start, and what it says names the file. Never cut silently, never served.

usage: flipped_log.py [--flips N] [--seed S]
"""

import argparse
import pathlib
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, main, require, run, scratch, status


def law():
    parser = argparse.ArgumentParser()
    parser.add_argument("--flips", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with scratch() as work:
        work = pathlib.Path(work)
        data = work / "data"
        server = Server(data)
        server.start()
        for number in range(20):
            run("put", f"key-{number:02d}", f"value {number:02d} " * moments.randint(1, 200), server=server)
        require(status(server)["applied"] >= 20, "the puts were not applied")
        server.kill()  # not flushed: the log is all there is
        logs = sorted(path for path in (data / "wal").iterdir() if path.is_file())
        used = []
        for path in logs:
            content = path.read_bytes()
            end = len(content.rstrip(b"\0"))
            if end:
                used.append((path, end))
        require(used, "no log file holds anything")
        path, end = max(used, key=lambda each: each[1])
        original = path.read_bytes()
        # The last record's bytes come first, then random places, each bit of a byte equally likely.
        offsets = [end - 1, end - 2, end - 40] + [moments.randrange(end) for _ in range(options.flips)]
        offsets += [end + 5000, len(original) - 1]  # and in what is filled ahead
        for offset in offsets:
            flipped = bytearray(original)
            flipped[offset] ^= 1 << moments.randrange(8)
            path.write_bytes(flipped)
            copy = work / "copy"
            shutil.copytree(data, copy, symlinks=True)
            port = subprocess.run(
                [str(BINARY), "serve", "--data-dir", str(copy), "--listen", "127.0.0.1:0"],
                capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL,
            ) if not started(copy) else None
            require(port is not None, f"bit flipped at {path.name}:{offset}: the server started")
            said = port.stdout + port.stderr
            require(port.returncode not in (0, 64, -11, -4, -5, -6), f"{path.name}:{offset}: exit {port.returncode}: {said}")
            require(path.name in said, f"{path.name}:{offset}: the file is not named: {said}")
            require(re.search(r"offset\D{0,3}\d+", said), f"{path.name}:{offset}: no offset is named: {said}")
            shutil.rmtree(copy)
        path.write_bytes(original)
        with Server(data) as mended:
            got = run("get", "key-19", server=mended)
            require(got.stdout.startswith("value 19"), "the log unharmed does not give the values back")
            mended.stop()
    return f"{len(offsets)} flips found and named"


def started(directory):
    """Whether a server comes up on `directory`; it is stopped again."""
    from streamdiff_tools import Failure

    server = Server(directory)
    try:
        server.start(timeout=20)
    except Failure:
        return False
    server.kill()
    return True


if __name__ == "__main__":
    main(law)
