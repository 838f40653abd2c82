#!/usr/bin/env python3
"""A server that traces for ever keeps the newest traces, within its bound: the oldest of its own are removed, also of
earlier runs, and no other file. Two servers do not share a directory. `check --trace` tells where a trace is wrong, as
JSON too, and that one was cut.
"""

import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import Server, main, require, run, scratch

# As `serve --help` says.
MOST, MOST_OF_ONE = 1 << 30, 64 << 20


def sparse(path, size):
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def bounded(work):
    """A full directory of earlier runs, with what is somebody else's among it."""
    traces = work / "traces"
    traces.mkdir()
    count = MOST // MOST_OF_ONE
    old = [sparse(traces / f"streamdiff-trace-{1_700_000_000_000 + each}-1-peer.ndjson", MOST_OF_ONE) for each in range(count)]
    foreign = [
        sparse(traces / name, MOST_OF_ONE)
        for name in ("2023-11-14-trace.ndjson", "streamdiff-trace-1-x-peer.ndjson", "streamdiff-trace-1-1-peer.ndjson.kept")
    ]
    (traces / "streamdiff-trace-1-1-link.ndjson").symlink_to(foreign[0])
    before = set(traces.iterdir())
    with Server(work / "data", "--trace", str(traces)) as server:
        with open(work / "source.ndjson", "w") as source:
            for number in range(100):
                source.write(json.dumps({"key": f"{number}", "value": os.urandom(400).hex()}) + "\n")
        run("push", work / "source.ndjson", server=server)
        run("pull", work / "one.ndjson", server=server)
        refused = run("serve", "--data-dir", work / "other", "--listen", "127.0.0.1:0", "--trace", traces, codes=(1,))
        require("another server traces into it" in refused.stderr, f"a second server: {refused.stderr}")
        server.kill()
    (first,) = set(traces.iterdir()) - before
    require(before - set(traces.iterdir()) == {old[0]}, f"of a full directory there stays {sorted(traces.iterdir())}")
    newer = sparse(traces / "streamdiff-trace-1700000000999-1-peer.ndjson", MOST_OF_ONE)
    with Server(work / "data", "--trace", str(traces)) as server:
        # A second or so.
        run("pull", work / "two.ndjson", "--codec", "none", "--rate-max", "80kB", server=server)
        require(server.stop() == 0, "the server did not drain")
    kept = (before | {first, newer}) - {old[0], old[1]}
    (second,) = set(traces.iterdir()) - kept
    require(kept <= set(traces.iterdir()), f"after a restart there stays {sorted(traces.iterdir())}")
    require(first.name < second.name, f"{second.name} is newer than {first.name}")
    return second


def told(trace, **expected):
    """What `check` says of a trace that is not sound, in both ways."""
    done = run("check", "--trace", trace, "--json", codes=(3,))
    said = json.loads(done.stdout)
    require(said["sound"] is False and said["line"] == expected["line"], f"check of {trace.name}: {said}")
    require(expected["reason"] in said["reason"], f"check of {trace.name}: {said}")
    require(f"{trace}:{said['line']}: {said['reason']}" in done.stderr, f"check of {trace.name}: {done.stderr}")
    plain = run("check", "--trace", trace, codes=(3,))
    require(plain.stdout == "" and plain.stderr == done.stderr, f"check of {trace.name}: {plain}")
    return said


def wrong(work, trace):
    text = trace.read_text()
    lines = text.splitlines()
    sound = json.loads(run("check", "--trace", trace, "--json").stdout)
    decisions = sum('"kind":"decision"' in line for line in lines)
    require(sound == {"sound": True, "sessions": 1, "decisions": decisions}, f"a sound trace: {sound}")
    bad = work / "bad.ndjson"
    place = next(place for place, line in enumerate(lines) if '"chunk":' in line and '"kind":"decision"' in line)
    other = lines[place].replace('"chunk":', '"chunk":9', 1)
    bad.write_text("\n".join([*lines[:place], other, *lines[place + 1 :]]) + "\n")
    said = told(bad, line=place + 1, reason="was written and")
    require(said["decisions"] == 0, f"decisions before the first wrong one: {said}")
    # Cut within the last line, wherever: in a name, in a number, before its end.
    for more in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):
        bad.write_text("\n".join([*lines[:-1], lines[-1][:more]]))
        said = told(bad, line=len(lines), reason="the file ends within this line")
        require(said["decisions"] == decisions - 1, f"decisions of a cut trace: {said}")
    # All but the line's end is all.
    bad.write_text(text[:-1])
    require(json.loads(run("check", "--trace", bad, "--json").stdout) == sound, "a trace without its last line's end")
    # The same within: that is no cut.
    bad.write_text("\n".join([lines[0][: len(lines[0]) // 2], *lines[1:]]) + "\n")
    told(bad, line=1, reason="column")


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        trace = bounded(work)
        wrong(work, trace)


if __name__ == "__main__":
    main(law)
