"""tools/bench transport: one stream of ours beside grpc-swift and grpc C++, all in one interleaved run.

Two processes on loopback, in a network namespace of their own whose routes name the congestion control, so that
every socket has the same. A stream brings messages, and an acknowledgement comes back for every 16.

  chunks   64 KiB as the contract has them: ours cuts them from operations, with both checksums, and takes them
           apart to operations again; the peers' carry one checksum, made at one end and held against the bytes
           at the other, in the form in which their users have messages (C++: protobuf; grpc-swift: arrays)
  bytes    64 KiB that nobody looks at: each at its fastest (ByteBuffer of C++, no copy in grpc-swift)
  small    64 bytes, likewise
  echo     64 bytes there and back, one at a time

Ours runs twice: `loop` has its tasks on the connections' event loops, `pool` on the common pool as sessions have.
grpc-swift runs as it comes and `wide`: windows of 64 MiB and frames of 1 MiB at both ends; other sizes were not tried.
CPU and memory are of both whole processes: their start is in it. Peaks are the kernel's (VmHWM), which counts the
pages of the program and its libraries; what is anonymous is looked at every 50 ms.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from peers import cpp_peer, grpc_swift_peer
from streamdiff_tools import ROOT, Failure, main, require

INSIDE = "STREAMDIFF_TRANSPORT_NAMESPACE"
ACKNOWLEDGED = 16
# Work of ours, of the peers, bytes of a message, messages that may be unacknowledged (64 MiB, or enough).
WORKS = {
    "chunks": ("chunks", "chunks", 64 << 10, 1024),
    "bytes": ("bytes", "bytes", 64 << 10, 1024),
    "small": ("bytes", "bytes", 64, 16 << 10),
    "echo": ("echo", "echo", 64, 1),
}
OURS = ("ours, loop", "ours, pool")
SWIFT, WIDE, CPP = "grpc-swift", "grpc-swift, wide", "grpc C++"
# What ours (on the loop) is to be, in the unit of the work, to that of a peer.
WANTED = [
    ("chunks", SWIFT, 20), ("chunks", WIDE, 2.5), ("chunks", CPP, 1.8),
    ("bytes", SWIFT, 20), ("bytes", WIDE, 2.5), ("bytes", CPP, 1.8),
    ("small", SWIFT, 1), ("small", WIDE, 1), ("small", CPP, 1),
    ("echo", SWIFT, 1), ("echo", WIDE, 1), ("echo", CPP, 1),
]  # fmt: skip


def enter_namespace(congestion):
    """Runs this program anew in a network namespace; there, gives loopback's routes the congestion control."""
    if os.environ.get(INSIDE) is None:
        own_user = [] if os.geteuid() == 0 else ["--map-root-user"]
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", *own_user, sys.executable, "-B", *sys.argv])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for place in ("127.0.0.0/8", "127.0.0.1"):
        route = f"local {place} dev lo table local proto kernel scope host src 127.0.0.1 congctl {congestion}"
        subprocess.run(["ip", "route", "replace", *route.split()], check=True)


def require_congestion(congestion):
    """Every connection that is open now has it."""
    told = subprocess.run(["ss", "-tinH", "state", "established"], capture_output=True, text=True, check=True).stdout
    used = [line.split()[0] for line in told.splitlines() if "rtt:" in line]
    require(len(used) >= 2, f"no connection to look at: {told!r}")
    require(set(used) == {congestion}, f"sockets use {sorted(set(used))}, not {congestion}")


def memory(pid):
    """The most that was resident, by the kernel, and what is anonymous now, in bytes; zeros once the process has ended."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        lines = []
    told = dict(line.split(":", 1) for line in lines)
    return [int(told[name].split()[0]) << 10 if name in told else 0 for name in ("VmHWM", "RssAnon")]


class Process:
    """A child, its processor time and its peaks."""

    def __init__(self, command):
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.peak = self.anonymous = 0

    def look(self):
        peak, anonymous = memory(self.child.pid)
        self.peak, self.anonymous = max(self.peak, peak), max(self.anonymous, anonymous)

    def end(self, terminate=False):
        """- Returns: its exit code."""
        if terminate:
            self.look()
            self.child.terminate()
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.child.stdout.close()
        self.seconds = usage.ru_utime + usage.ru_stime
        return self.child.returncode


def measure(program, flags, work, seconds, congestion):
    """One run of both ends. - Returns: what it gave, as a dictionary."""
    name, size, ahead = work
    server = Process([str(program), "serve", *flags])
    try:
        ready = server.child.stdout.readline()
        require(ready.startswith("ready listen="), f"{program} serve: {ready!r}")
        address = ready.split("listen=", 1)[1].strip()
        client = Process([str(program), "send", address, name, str(size), str(seconds), str(ahead), *flags])
        end = time.monotonic() + 20 * seconds + 30
        has_looked = False
        while os.waitid(os.P_PID, client.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            client.look()
            if not has_looked and time.monotonic() > end - 19 * seconds - 30:
                require_congestion(congestion)
                has_looked = True
            if time.monotonic() > end:
                client.child.kill()
            time.sleep(0.05)
        said = client.child.stdout.read()
        code = client.end()
        require(code == 0, f"{program} send {name}: exit {code}")
        require(has_looked, f"{program} send {name} was over before its sockets were looked at")
    finally:
        server.end(terminate=True)
    told = json.loads(said)
    cpu = {"client_cpu": client.seconds, "server_cpu": server.seconds}
    peaks = {"client_peak": client.peak, "server_peak": server.peak}
    anonymous = {"client_anonymous": client.anonymous, "server_anonymous": server.anonymous}
    result = {**peaks, **anonymous, **cpu, **told}
    if "trips" in told:
        return {**result, "rate": 1e6 / told["p50_us"], "cpu_per": 1e6 * sum(cpu.values()) / told["all"]}
    rate = told["messages"] / told["seconds"]
    return {**result, "rate": rate, "cpu_per": 1e9 * sum(cpu.values()) / (told["all"] * size)}


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def both(rows, what):
    return statistics.median(row[f"client_{what}"] + row[f"server_{what}"] for row in rows)


def span(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(work, results):
    size = WORKS[work][2]
    ends = "client + server"
    if work == "echo":
        print(f"\n| {work} | p50 µs | p99 µs | CPU µs a trip, {ends} | peak MiB (anonymous), {ends} |\n|---|---|---|---|---|")
    elif size < 1024:
        print(f"\n| {work} | messages/s | CPU s a million, {ends} | peak MiB (anonymous), {ends} |\n|---|---|---|---|")
    else:
        print(f"\n| {work} | MB/s (min to max) | CPU s/GB, {ends} | peak MiB (anonymous), {ends} |\n|---|---|---|---|")
    for peer, rows in results.items():
        unit = 1e6 if work == "echo" or size < 1024 else 1e9 / size
        cpu = " + ".join(f"{statistics.median(unit * row[end] / row['all'] for row in rows):.3f}" for end in ("client_cpu", "server_cpu"))
        peaks = " + ".join(
            f"{median(rows, end + '_peak') / (1 << 20):.0f} ({median(rows, end + '_anonymous') / (1 << 20):.1f})" for end in ("client", "server"))
        if work == "echo":
            figure = f"{median(rows, 'p50_us'):.1f} | {median(rows, 'p99_us'):.1f}"
        elif size < 1024:
            figure = f"{median(rows, 'rate'):.0f}"
        else:
            speeds = [row["rate"] * size / 1e6 for row in rows]
            figure = f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})"
        print(f"| {peer} | {figure} | {cpu} | {peaks} |")


def ratios(results):
    print(f"\n| {OURS[0]}, beside | rate, times the peer's (min to max) | wanted | CPU | peak | anonymous |\n|---|---|---|---|---|---|")
    told = []
    for work, peer, wanted in WANTED:
        if peer not in results.get(work, {}):
            continue
        ours, theirs = results[work][OURS[0]], results[work][peer]
        quotients = [a["rate"] / b["rate"] for a, b in zip(ours, theirs)]
        cpu = median(ours, "cpu_per") / median(theirs, "cpu_per")
        peak, anonymous = (both(ours, what) / both(theirs, what) for what in ("peak", "anonymous"))
        holds = statistics.median(quotients) >= wanted
        print(f"| {work}: {peer} | {span(quotients)} | {wanted}: {'yes' if holds else 'no'} | {cpu:.2f} | {peak:.2f} | {anonymous:.2f} |")
        told.append({"work": work, "peer": peer, "ratio": statistics.median(quotients), "least": min(quotients), "most": max(quotients), "wanted": wanted, "cpu": cpu, "peak": peak, "anonymous": anonymous})  # fmt: skip
    return told


def bench():
    parser = argparse.ArgumentParser(prog="tools/bench transport")
    parser.add_argument("work", nargs="*", metavar="WORK", help=f"of {', '.join(WORKS)}; all by default")
    parser.add_argument("--seconds", type=float, default=2, help="of one measurement, after a quarter of it to warm up")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--congestion", default="cubic", help="the kernel's control for every socket")
    parser.add_argument("--ours", action="store_true", help="ours alone: before and after a change")
    parser.add_argument("--json", metavar="FILE", help="every figure of every run")
    options = parser.parse_args()
    for work in options.work:
        if work not in WORKS:
            parser.error(f"no work {work}")
    mine = pathlib.Path(os.environ.get("STREAMDIFF_TRANSPORT", ROOT / ".build/release/transport"))
    peers = {OURS[0]: (mine, ["--on", "loop"]), OURS[1]: (mine, ["--on", "pool"])}
    if not options.ours:
        swift = grpc_swift_peer()
        cpp = cpp_peer("transport", ["streamdiff/v1/common.proto", "streamdiff/v1/streamdiff.proto"], ["libisal"])
        peers |= {SWIFT: (swift, []), WIDE: (swift, ["--wide"]), CPP: (cpp, [])}
    enter_namespace(options.congestion)
    results = {work: {peer: [] for peer in peers} for work in options.work or WORKS}
    for turn in range(options.rounds):
        for work, rows in results.items():
            own, theirs, size, ahead = WORKS[work]
            names = list(peers)
            for peer in names[turn % len(names):] + names[: turn % len(names)]:
                program, flags = peers[peer]
                name = own if peer in OURS else theirs
                rows[peer].append(measure(program, flags, (name, size, ahead), options.seconds, options.congestion))
        print(f"round {turn + 1} of {options.rounds} done", file=sys.stderr)
    print(f"{options.rounds} rounds of {options.seconds:g} s, interleaved, medians; {options.congestion}, an acknowledgement for {ACKNOWLEDGED} messages")
    for work, rows in results.items():
        table(work, rows)
    told = ratios(results)
    if options.json:
        document = {"seconds": options.seconds, "congestion": options.congestion, "runs": results, "ratios": told}
        pathlib.Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(bench)
