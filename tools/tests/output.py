#!/usr/bin/env python3
"""What commands print, and to whom: each ends when nobody reads it any more, silently and as other programs do; with
`--json` a command that fails has printed nothing but its answer; sizes have the unit in which they are set.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, free_port, main, ndjson, require, run, scratch, wait_until


def unread(server, *arguments, after=0):
    """Runs a command whose reader goes away after that many bytes; how it ended and what it said."""
    process = subprocess.Popen(
        [BINARY, *map(str, arguments), "--server", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    if after:
        require(process.stdout.read(after), f"{arguments} prints nothing")
    process.stdout.close()
    try:
        return process.wait(20), process.stderr.read().decode()
    except subprocess.TimeoutExpired:
        return None, "it does not end"
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def readers_go(server, work):
    source = work / "many.ndjson"
    ndjson(source, 20_000)
    run("push", source, server=server)
    other = work / "other.ndjson"
    ndjson(other, 20_000, seed=2)
    commands = [
        (("status", "--watch"), 1), (("status", "--watch", "--json"), 1), (("status", "--sessions", "--watch"), 1),
        (("status", "--sessions", "--watch", "--json"), 1), (("scan",), 1), (("scan", "--json"), 1),
        (("verify", other), 1), (("status",), 0), (("get", "user/000000000"), 0), (("put", "one", "value", "--json"), 0),
        (("delete", "one", "--json"), 0), (("tune",), 0), (("push", source), 0), (("pull", work / "copy.ndjson"), 0),
        (("verify", source, "--json"), 0),
    ]  # fmt: skip
    for command, after in commands:
        code, said = unread(server, *command, after=after)
        require((code, said) == (-signal.SIGPIPE, ""), f"{command} without its reader: {code}, {said!r}")
    require((work / "copy.ndjson").read_text().count("\n") == 20_000, "a pull is whole, whoever reads of it")
    return len(commands)


def failures_print_no_answer(server, work):
    source = work / "one.ndjson"
    source.write_text('{"key":"a","value":"b"}\n')
    nobody = f"127.0.0.1:{free_port()}"
    for command, to, wanted in [
        (("push", source), nobody, 4), (("pull", work / "none"), nobody, 4), (("verify", source), nobody, 4),
        (("get", "a"), nobody, 4), (("status",), nobody, 4), (("tune",), nobody, 4), (("scan",), nobody, 4),
        (("tune", "chunk-max=1KiB", "--peer", "10.9.8.7:6"), server.address, None),
        (("push", work / "absent"), server.address, 1), (("put", "k" * 9000, "v"), server.address, 5),
    ]:  # fmt: skip
        done = run(*command, "--json", "--server", to, codes=None)
        if wanted is not None:
            require(done.returncode == wanted, f"{command}: exit {done.returncode}, {done.stderr}")
        if done.returncode != 0:
            require(done.stdout == "" and done.stderr.startswith("streamdiff: "), f"{command} failed and said {done}")
    # What is found out is an answer, whatever the exit code.
    require(json.loads(run("get", "absent", "--json", server=server, codes=(1,)).stdout) == {"found": False}, "get")
    found = json.loads(run("verify", source, "--json", server=server, codes=(3,)).stdout)
    require(found["equal"] is False, f"verify: {found}")


def addresses_name_their_form():
    for address in ("::1:41697", "::1:7400", "::1", "2001:db8::7"):
        for done in (
            run("status", "--server", address, codes=(64,)),
            run("serve", "--data-dir", "/nowhere", "--listen", address, codes=(64,)),
        ):
            require(f"'{address}'" in done.stderr and "[::1]:7400" in done.stderr, f"{address}: {done.stderr}")
            require("--insecure allows" not in done.stderr, f"{address}: {done.stderr}")


def sizes_have_the_unit_of_the_tunable(server, work):
    source = work / "noise"
    source.mkdir()
    (source / "noise").write_bytes(os.urandom(3_000_000))
    command = [BINARY, "push", source, "--keyspace", "noise", "--inflight-max", "64MiB", "--rate-max", "500kB"]
    push = subprocess.Popen(
        [*map(str, command), "--policy", "fixed", "--server", server.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    try:
        rows = []

        def shown():
            require(push.poll() is None, f"the push ended before status showed it: {rows}")
            rows[:] = [row for row in run("status", "--sessions", server=server).stdout.splitlines() if " of " in row]
            return rows

        wait_until(shown, 20, "a session in status")
        require(any("of 64MiB" in row for row in rows), f"64MiB in flight is shown as {rows}")
    finally:
        push.kill()
        push.communicate()


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        addresses_name_their_form()
        with Server(work / "data") as server:
            count = readers_go(server, work)
            failures_print_no_answer(server, work)
            sizes_have_the_unit_of_the_tunable(server, work)
            require(server.stop() == 0, "the server did not stop cleanly")
    return f"{count} commands end with their reader"


if __name__ == "__main__":
    main(law)
