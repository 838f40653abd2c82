"""How sessions adapt is an operator's to say, before and while they run: wrong flags are refused by name and range;
tune reaches an open push and an open pull, which status shows with a reason; what is persisted outlives a kill, and
SIGHUP reads it again, a bad file changing nothing; a peer may have settings of its own; a trace replays equal, and one
flipped digit in it is found; a server that drains has written its traces; who asks a server for more than its limits, or
for other than its operator set, is told so.
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from broken_disk_shim import shim
from streamdiff_tools import BINARY, Failure, Server, main, require, run, run_json, scratch, wait_until

# A wrong value of each flag, and what its message must say of the range.
WRONG = {
    "policy": ("fastest", "fixed, threshold, model"),
    "chunk-min": ("0", "1 to 1MiB"),
    "chunk-max": ("2MiB", "1 to 1MiB"),
    "chunk": ("many", "1 to 1MiB"),
    "codec": ("gzip", "auto, none, zstd"),
    "level": ("40", "-7 to 19"),
    "level-min": ("-8", "-7 to 19"),
    "level-max": ("0", "not 0"),
    "adaptive-window": ("0s", "1s to 8s"),
    "growth": ("1", "1.1 to 4"),
    "backoff": ("1.2", "0.5 to 0.9"),
    "rtt-threshold": ("0ms", "1ms to 60s"),
    "loss-threshold": ("0.5", "0% to 100%, as 0.5%"),
    "inflight-max": ("0", "64KiB to 1GiB"),
    "rate-max": ("100Mb", "in bits that is 100Mbit, in bytes 100MB"),
    "congestion": ("reno", "auto, bbr, cubic"),
}
CONTRADICTIONS = [
    (("--chunk-min", "32KiB", "--chunk-max", "16KiB"), "chunk-min 32KiB is above chunk-max 16KiB"),
    (("--level-min", "9", "--level-max", "3"), "level-min 9 is above level-max 3"),
    (("--policy", "fixed", "--chunk", "128KiB", "--chunk-max", "64KiB"), "chunk 128KiB is not between"),
    (("--policy", "fixed", "--chunk", "64kb"), "in bytes, kB"),
]
# Not wrong, and said: nothing comes of them as the other flags are.
IDLE = [
    (("--level", "9"), "--level 9 holds with policy fixed only, and here it is model"),
    (("--policy", "threshold", "--chunk", "4KiB"), "--chunk 4KiB holds with policy fixed only"),
    (("--growth", "2"), "--growth 2.0 holds with policy threshold only, and here it is model"),
    (("--policy", "fixed", "--level", "9", "--codec", "none"), "--level 9 comes to nothing with codec none"),
]


def idle_flags(work):
    """They are taken, and what they come to is on standard error, once: here before nobody is reached."""
    commands = (("push", work / "none"), ("serve", "--data-dir", work / "none", "--listen", "192.0.2.1:1"))
    for flags, words in IDLE:
        for command in (*commands, ("pull", "-", "--server", "127.0.0.1:1")) if flags is IDLE[0][0] else commands:
            said = run(*command, *flags, codes=(1, 4, 5)).stderr
            require(said.count(words) == 1, f"{command[0]} {flags}: {said}")


def wrong_flags(work):
    commands = (("push", work), ("pull", work / "out"), ("serve", "--data-dir", work / "none"))
    for name, (value, words) in WRONG.items():
        # Every command has the same flags and one check of them.
        command = commands[len(name) % len(commands)]
        said = run(*command, f"--{name}", value, codes=(64,)).stderr
        require(f"--{name} '{value}'" in said and words in said, f"{command[0]} --{name} {value}: {said}")
        said = run("tune", f"{name}={value}", codes=(64,)).stderr
        require(f"{name} '{value}'" in said and words in said, f"tune {name}={value}: {said}")
    for flags, words in CONTRADICTIONS:
        for command in commands:
            said = run(*command, *flags, codes=(64,)).stderr
            require(words in said, f"{command[0]} {flags}: {said}")
    for arguments in (("chunk-max",), ("window=2s",), ("--reset", "none"), ("--peer", "web1"), ("level=1", "--reset", "level"),
                      ("chunk-min=64KiB", "chunk-max=4KiB"), ("growth=2", "growth=3")):
        run("tune", *arguments, codes=(64,))
    require(not (work / "none").exists(), "a server with wrong flags made its directory")
    for command in ("push", "pull", "serve"):
        helped = " ".join(run(command, "--help").stdout.split())
        require("It takes -7 to 19, and not 0. (default: 12)" in helped, f"{command} --help tells no range")
    return len(WRONG) + len(CONTRADICTIONS)


def tuned(server, *arguments):
    return run_json("tune", *arguments, server=server)["settings"]


def sessions(server):
    return run_json("status", "--sessions", server=server)["sessions"]


def reaches(server, command, setting, shown):
    """`tune` while `command` runs: status shows what became of it. The command goes on at level 1 to its end."""
    client = subprocess.Popen(
        [BINARY, *command, "--server", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any("chunk" in one for one in sessions(server)), 20, f"a session of {command[0]}")
        answer = run_json("tune", setting, server=server)
        require(answer["sessions"] == 1, f"{setting} reached {answer['sessions']} sessions of one")

        def is_shown():
            found = sessions(server)
            if not found:
                raise Failure(f"{command[0]} was over before {setting} showed: {client.communicate()}")
            return found[0].get("reason") and shown(found[0])

        wait_until(is_shown, 20, f"{setting} in the status of a {command[0]}")
        run("tune", "level=1", server=server)
        out, err = client.communicate(timeout=60)
        require(client.returncode == 0, f"{command[0]}: exit {client.returncode}: {out} {err}")
    finally:
        client.kill()
        client.communicate()
    run("tune", "--reset", "all", server=server)


def write_source(path, entries):
    with open(path, "w") as out:
        for place in range(entries):
            out.write(f'{{"key":"user/{place:08d}","value":"{os.urandom(3000).hex()}"}}\n')


def running(server, work, entries):
    """A push, then a pull, tuned while they run: at level 19 they last."""
    source, trace, copy = work / "source.ndjson", work / "push.ndjson", work / "copy.ndjson"
    write_source(source, entries)
    slow = ("--policy", "fixed", "--level", "19", "--level-max", "19")
    reaches(server, ("push", source, "--trace", trace, *slow), "chunk=2KiB", lambda one: one["chunk"] == 2048)
    tuned(server, "policy=fixed", "level=19")
    reaches(server, ("pull", copy), "chunk=1KiB", lambda one: one["sending"] and one["chunk"] == 1024)
    require(copy.stat().st_size > source.stat().st_size * 0.9, "what was pulled is shorter")
    return trace


def replays(work, trace):
    said = run_json("check", "--trace", trace)
    require(said["decisions"] > 0 and said["sound"], f"{said}")
    lines = trace.read_text().splitlines(keepends=True)
    place = max(number for number, line in enumerate(lines) if '"kind":"decision"' in line)
    flipped = re.sub(r'"in_flight":(\d)', lambda found: f'"in_flight":{(int(found[1]) + 1) % 9 + 1}', lines[place])
    require(flipped != lines[place], "nothing was flipped")
    bad = work / "flipped.ndjson"
    bad.write_text("".join(lines[:place] + [flipped] + lines[place + 1 :]))
    said = run("check", "--trace", bad, codes=(3,)).stderr
    require(f"flipped.ndjson:{place + 1}: in_flight" in said, said)
    bad.write_text("".join(lines[:place]) + lines[place][: len(lines[place]) // 2])
    require(f":{place + 1}: the file ends within" in run("check", "--trace", bad, codes=(3,)).stderr, "half a line is taken for one")
    return run_json("check", "--trace", trace)["decisions"]


def persistence(server, work):
    file = server.data_dir / "tunables.conf"
    file.write_text("# by hand\nlevel-max = 6   # enough\n")
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: tuned(server)["level-max"] == "6", 10, "SIGHUP")
    # Undone is what was tuned, not what the file says.
    require(tuned(server, "level-max=5")["level-max"] == "5", "tune gives way to the file")
    require(tuned(server, "level-max=")["level-max"] == "6", "a reset hides what the file says")
    require(tuned(server, "--reset", "all")["level-max"] == "6", "a reset of everything hides what the file says")
    tuned(server, "chunk-max=32KiB", "--persist")
    tuned(server, "rate-max=50Mbit", "--peer", "10.1.2.3", "--persist")
    tuned(server, "backoff=0.6")
    server.kill()
    server.start()
    found = tuned(server)
    require(
        (found["level-max"], found["chunk-max"], found["backoff"]) == ("6", "32KiB", "0.7"), f"after kill -9: {found}")
    require(tuned(server, "--peer", "10.1.2.3:9")["rate-max"] == "6250kB/s", "a peer's own is lost")
    require(found["rate-max"] == "none", "a peer's own holds for all")
    require("# by hand\nlevel-max = 6   # enough\n" in file.read_text(), f"comments are lost: {file.read_text()}")

    good = file.read_text()
    file.write_text(good + "\n\nlevel-max = 77\n")
    os.kill(server.pid, signal.SIGHUP)
    line = len(good.splitlines()) + 3
    wait_until(lambda: f"tunables.conf:{line}: level-max '77'" in server.messages(), 10, "the bad line in the log")
    require(tuned(server) == found, "a bad file changed something")
    said = run("tune", "growth=2", "--persist", server=server, codes=(5,)).stderr
    require(f"tunables.conf:{line}:" in said and tuned(server)["growth"] == "1.5", said)
    server.stop()
    done = subprocess.run(
        [BINARY, "serve", "--data-dir", server.data_dir, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    require(done.returncode == 1 and f"tunables.conf:{line}: level-max '77'" in done.stderr, f"{done}")
    file.write_text(good)
    server.start()
    require(tuned(server) == found, "a good file is another after a bad one")
    said = run("tune", "chunk-min=64KiB", server=server, codes=(5,)).stderr
    require("chunk-min 64KiB is above chunk-max 32KiB" in said, said)
    tuned(server, "level-max=", "chunk-max=", "--persist")
    require("level-max" not in file.read_text(), "what was reset stands in the file")
    require(tuned(server)["level-max"] == "19", "what was reset does not give way to the flag")


def peers(server):
    """For one host alone, and more peers than there may be."""
    tuned(server, "chunk-max=4KiB", "--peer", "127.0.0.1")
    said = run("tune", "chunk-max=8KiB", "--peer", "127.0.0.1:9", server=server, codes=(5,)).stderr
    require("no connection from 127.0.0.1:9 is open" in said, said)
    tuned(server, "chunk-max=8KiB", "--peer", "127.0.0.1:9", "--persist")
    require(tuned(server)["chunk-max"] == "64KiB", "one peer's holds for all")
    require(tuned(server, "--peer", "127.0.0.1:8")["chunk-max"] == "4KiB", "a host's does not hold for its ports")
    require(tuned(server, "--peer", "::FFFF:7f00:1")["chunk-max"] == "4KiB", "an address is another in other words")
    require(tuned(server, "--peer", "127.0.0.1:9")["chunk-max"] == "8KiB", "a connection's gives way to its host's")
    tuned(server, "--reset", "all", "--peer", "127.0.0.1:9")
    require(tuned(server, "--peer", "127.0.0.1:9")["chunk-max"] == "8KiB", "a reset hides what the file says of a peer")
    tuned(server, "--reset", "all", "--peer", "127.0.0.1:9", "--persist")
    require("127.0.0.1:9" not in (server.data_dir / "tunables.conf").read_text(), "an empty section stays")
    require(tuned(server, "--peer", "127.0.0.1:9")["chunk-max"] == "4KiB", "a reset does more than it says")
    require(run_json("tune", server=server)["peers"][0] == {"peer": "10.1.2.3", "settings": {"rate-max": "6250kB/s"}}, "peers")
    answer = run_json("tune", "--reset", "all", "--persist", server=server)
    require(answer["peers"] == [], f"after a reset of everything: {answer['peers']}")
    file = server.data_dir / "tunables.conf"
    require("=" not in file.read_text().replace("# by hand", ""), f"what was reset stands in the file: {file.read_text()}")
    # What the file is about to say cannot be kept: nothing changes, and trying again would not help.
    file.unlink()
    file.mkdir()
    said = run("tune", "growth=2", "--persist", server=server, codes=(5,)).stderr
    require("cannot be kept" in said and str(file) in said and tuned(server)["growth"] == "1.5", said)
    file.rmdir()
    # Nor does anybody wait for what is no file.
    os.mkfifo(file)
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: f"{file}: is a FIFO, and must be a regular file" in server.messages(), 10, "the FIFO in the log")
    run("tune", "growth=2", "--persist", server=server, codes=(5,))
    server.stop()
    done = subprocess.run(
        [BINARY, "serve", "--data-dir", server.data_dir, "--listen", "127.0.0.1:0"], capture_output=True, text=True, timeout=30)
    require(done.returncode == 1 and f"{file}: is a FIFO" in done.stderr, f"a start with a FIFO: {done}")
    file.unlink()
    # A link stays one, and what it leads to keeps its mode.
    kept = server.data_dir.parent / "kept.conf"
    kept.write_text("growth = 2\n")
    kept.chmod(0o600)
    file.symlink_to(kept)
    server.start()
    tuned(server, "backoff=0.6", "level-max=3", "--persist")
    require(file.is_symlink() and kept.stat().st_mode & 0o777 == 0o600, f"{file} is another file now")
    require("backoff = 0.6" in kept.read_text(), "what the link leads to is not written")
    tuned(server, "growth=3", "level-max=4", "--peer", "10.1.2.3")
    log = server.data_dir.with_suffix(".log")
    before = log.read_text().count("tunables changed")
    tuned(server, "--reset", "all", "--persist")
    require(log.read_text().count("tunables changed") == before + 2, "not one line for each of all and a peer")
    file.unlink()
    kept.unlink()


def watching(server):
    """status --watch: a block a second; SIGINT ends it as a signal does, a server that goes with 4."""
    blocks = subprocess.Popen(
        [BINARY, "status", "--sessions", "--watch", "--server", server.address], stdout=subprocess.PIPE, text=True)
    objects = subprocess.Popen(
        [BINARY, "status", "--sessions", "--watch", "--json", "--server", server.address],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(2):
            require(blocks.stdout.readline().startswith("PEER") and blocks.stdout.readline() == "\n", "no block")
            require(json.loads(objects.stdout.readline()) == {"sessions": []}, "no object")
        blocks.send_signal(signal.SIGINT)
        require(blocks.wait(10) == -signal.SIGINT, f"after SIGINT: {blocks.returncode}")
        server.stop()
        require(objects.wait(60) == 4, f"after the server went: {objects.returncode} {objects.stderr.read()}")
    finally:
        for process in (blocks, objects):
            process.kill()
            process.communicate()


def drained(work):
    """Traces are written behind the sessions; each write takes longer than the pull: SIGTERM waits for them."""
    (work / "noise").mkdir()
    (work / "noise/data").write_bytes(os.urandom(1_000_000))
    slow = {
        "LD_PRELOAD": shim(work), "BREAK_CALL": "write", "BREAK_PATH": "/late/", "BREAK_DELAY": 2000,
        "BREAK_WHILE": work / "late",
    }  # fmt: skip
    server = Server(work / "drained", "--trace", str(work / "late"), environment=slow)
    with server:
        run("push", work / "noise", server=server)
        run("pull", work / "quiet", "--rate-max", "1MB", server=server)
        require(server.stop() == 0, "the server did not drain")
    (trace,) = (work / "late").iterdir()
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    traced = sum(line["plain_bytes"] for line in lines if line["kind"] == "decision")
    # A second at that rate, of which all but the last look is behind it.
    require(traced > 500_000, f"{traced} bytes of 1000000 are traced, in {len(lines)} lines")
    run_json("check", "--trace", trace)


def contradictory(server, work):
    """A pull asks for a level above the server's: it gets the highest, and both sides say so."""
    write_source(work / "small.ndjson", 40)
    run("push", work / "small.ndjson", "--keyspace", "small", server=server)
    run("tune", "level-max=12", server=server)
    # Some 120 kB as they travel: the server has said how it sends long before the end.
    pull = ("pull", "--keyspace", "small", "--policy", "fixed", "--rate-max", "60kB")
    done = run(*pull, work / "asked.ndjson", "--level", "19", "--level-max", "19", server=server)
    require("level 12 in place of 19" in done.stderr, f"a pull was told: {done.stderr!r}")
    done = run(*pull, work / "given.ndjson", "--level", "12", server=server)
    require(done.stderr == "", f"a pull that got what it asked for was told: {done.stderr!r}")
    run("tune", "--reset", "all", server=server)


def prepared(work):
    """An operator's file comes before the first start, and what it says no pull overrules but for limits; what is tuned
    for a connection ends with it."""
    data = work / "prepared"
    data.mkdir()
    (data / "tunables.conf").write_text("codec = none\nchunk = 4KiB\n[peer ::ffff:127.0.0.1]\npolicy = fixed\nrate-max = 20kB\n")
    with Server(data) as server:
        require(tuned(server)["codec"] == "none", "a file that was there first is not read")
        require("chunk 4KiB holds with policy fixed only" in server.messages(), f"in vain: {server.messages()}")
        # Some 240 kB, at that rate until they may go.
        run("push", work / "small.ndjson", server=server)
        wishes = ("--codec", "zstd", "--policy", "model", "--congestion", "cubic", "--chunk-min", "128KiB")
        pull = ("pull", work / "forbidden.ndjson", *wishes)
        client = subprocess.Popen(
            [BINARY, *pull, "--server", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: any("codec" in one for one in sessions(server)), 20, "a session of a pull")
            (one,) = sessions(server)
            require((one["codec"], one["policy"]) == ("none", "fixed"), f"{one}")
            answer = run_json("tune", "growth=2", "--peer", one["peer"], server=server)
            require(answer["sessions"] == 1, f"a connection of a pull: {answer}")
            require(one["peer"] in [each["peer"] for each in run_json("tune", server=server)["peers"]], "it is not listed")
            tuned(server, "rate-max=none", "--peer", "127.0.0.1")
            _, said = client.communicate(timeout=60)
        finally:
            client.kill()
            client.communicate()
        require(client.returncode == 0, said)
        for words in ("policy fixed in place of model", "codec none in place of zstd", "sender's are 512 to 64KiB"):
            require(words in said, f"a pull was told: {said!r}")
        require("congestion" not in said, f"a pull was refused what nobody had set: {said!r}")
        wait_until(
            lambda: [each["peer"] for each in run_json("tune", server=server)["peers"]] == ["127.0.0.1"], 20,
            "what was tuned for a connection to end with it")


def hinted(server, work):
    """What the receiver of a push tells: how fast it decodes, while it does."""
    trace = work / "hinted.ndjson"
    how = ("--policy", "fixed", "--codec", "zstd", "--level", "1", "--rate-max", "25MB")
    run("push", work / "source.ndjson", "--keyspace", "hinted", "--trace", trace, *how, server=server)
    hints = [line for line in map(json.loads, trace.read_text().splitlines()) if line["kind"] == "hint"]
    rates = [hint["decode_bytes_per_second"] for hint in hints if hint["decode_bytes_per_second"] > 0]
    require(rates and all(100_000 < rate < 1e11 for rate in rates), f"decode rates of a push's hints: {rates}")


def traced_source(work):
    """A trace that would overwrite what is pushed, by whatever name, is refused, and nothing is lost."""
    (work / "kept/deep").mkdir(parents=True)
    entries = work / "kept/entries.ndjson"
    entries.write_text('{"key":"a","value":"b"}\n')
    (work / "link").symlink_to(work / "kept", target_is_directory=True)
    for source, trace in (
        (entries, entries), (entries, work / "link/entries.ndjson"), (work / "kept", work / "link/deep/new"),
    ):  # fmt: skip
        said = run("push", source, "--trace", trace, codes=(64,)).stderr
        require("lies in what is pushed" in said, f"push {source} --trace {trace}: {said}")
    require(entries.read_text() == '{"key":"a","value":"b"}\n', "a refused push changed its source")
    require(not any((work / "kept/deep").iterdir()), "a refused push left a trace")


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        traced_source(work)
        (work / "tree").mkdir()
        count = wrong_flags(work / "tree")
        idle_flags(work)
        server = Server(work / "data", "--trace", str(work / "traces"), "--level-max", "19")
        with server:
            trace = running(server, work, 6000)
            hinted(server, work)
            contradictory(server, work)
            decisions = replays(work, trace)
            pulled = sorted((work / "traces").iterdir(), key=lambda path: path.stat().st_size)[::-1]
            require(len(pulled) == 3, f"traces of a server that sent three times: {pulled}")
            served = run_json("check", "--trace", pulled[0])["decisions"]
            persistence(server, work)
            peers(server)
            watching(server)
        prepared(work)
        drained(work)
    return f"{count} wrong flags; {decisions} decisions of a push and {served} of a pull replayed"


if __name__ == "__main__":
    main(law)
