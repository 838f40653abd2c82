#!/usr/bin/env python3
"""The link of `linklab` does what its flags say: round trips, seeded loss, rate, changes while it runs, cuts and
directions; it loses nothing by itself; and nothing of a lab stays, however it ends.
"""

import os
import pathlib
import signal
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from lab import LINKLAB, Lab, transfer, why_not
from streamdiff_tools import main, require, wait_until


def traces(pid):
    """What there is of the lab of process `pid`."""
    places = [pathlib.Path("/run/netns"), pathlib.Path("/run/linklab")]
    return [str(path) for place in places if place.exists() for path in place.glob(f"linklab-{pid}-*")]


def guard(pid):
    """The process that removes the lab of process `pid` when that is killed."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    (found,) = (child for child in children if b"guard" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes())
    return int(found)


def sleeper(host):
    """A process that would stay."""
    process = host.start("sh", "-c", "echo here; exec sleep 1000", stdout=subprocess.PIPE)
    require(process.stdout.readline() == "here\n", "no process in a host")
    return process


DEAF = """
import os, signal, sys, time

def asked(*_):
    try:
        os.readlink(f"/proc/{int(other)}/ns/net")  # which one that has ended has no more
        print("with the other", flush=True)
    except FileNotFoundError:
        print("alone", flush=True)

signal.signal(signal.SIGTERM, asked)
print("here", flush=True)
other = sys.stdin.readline()
while True:
    time.sleep(1000)
"""


def deaf_pair(lab):
    """A process in each host that does not end when it is asked to, but says whether the other one is there still."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    pair = [host.python(DEAF, **pipes) for host in (lab.left, lab.right)]
    for process in pair:
        require(process.stdout.readline() == "here\n", "no process in a host")
    for process, other in (pair, reversed(pair)):
        print(other.pid, file=process.stdin, flush=True)
    return pair


def is_ended(process):
    with process:
        return process.wait(5) != 0


def round_trip(lab, expected, slack=1.0):
    trips = lab.left.ping(lab.right)
    require(len(trips) == 10, f"{10 - len(trips)} pings of 10 did not come back")
    trip = statistics.median(trips)
    require(abs(trip - expected) <= slack, f"a ping takes {trip} ms where {expected} is set: {trips}")
    return trip


def delays_and_changes():
    with Lab("--rtt", "40ms") as lab:
        trips = [round_trip(lab, 40)]
        now = lab.set("--rtt", "10ms", "--up", "delay=2ms")
        require((now["up"]["delay_ms"], now["down"]["delay_ms"]) == (2, 5), f"set: {now}")
        trips.append(round_trip(lab, 7))
        lab.set("--rtt", "100ms", "--jitter", "20ms")
        spread = lab.left.ping(lab.right, count=30, interval=0.02)
        # A busy machine may hold up one or the other.
        most = sorted(spread)[-4]
        require(60 <= min(spread) and most <= 141 and statistics.stdev(spread) > 2, f"jitter: {spread}")
        refused = subprocess.run(
            [LINKLAB, "set", "--jitter", "60ms", "--control", lab.control], capture_output=True, text=True
        )
        require(refused.returncode == 1 and "jitter 60ms" in refused.stderr, f"jitter above the delay: {refused}")
        lab.sound()
    return f"rtt {', '.join(f'{trip:.2f}' for trip in trips)} ms of 40, 7"


def seeded_loss():
    """The n-th packet's fate is the seed's; a flood of pings is long enough for the share."""
    lost = []
    for seed in ("1", "1", "2"):
        with Lab("--loss", "10%", "--down", "loss=0%", "--seed", seed) as lab:
            lab.left.run("ping", "-n", "-q", "-f", "-c", "2000", "-W", "1", lab.right.address)
            up = lab.sound()["up"]
            require(up["packets_in"] == 2000 == up["packets_out"] + up["lost"], f"packets vanish: {up}")
            lost.append(up["lost"])
    require(lost[0] == lost[1] != lost[2], f"seeds 1, 1 and 2 lost {lost}")
    require(all(150 <= each <= 250 for each in lost), f"10 % of 2000 are {lost}")
    return f"lost {lost[0] / 20:.1f} % of 10"


def rates():
    """As TCP payload: 1448 bytes of 1500, so that 3.5 of the 5 % are headers. A busy machine that holds up sender
    or receiver makes a flow slower, never faster: of three tries one has to reach the rate, and none exceeds it."""
    with Lab("--rtt", "20ms", "--rate", "20mbit", "--up", "queue=400KB") as lab:
        figures = []
        for rate in (20, 60):
            lab.set("--rate", f"{rate}mbit")
            tries = []
            while len(tries) < 3 and max(tries, default=0) < 0.95 * rate:
                tries.append(transfer(lab.left, lab.right) / 1e6)
            require(0.95 * rate <= max(tries) <= rate, f"{tries} Mbit/s of {rate}")
            figures.append(f"{max(tries):.1f}")
        stats = lab.sound()
        require(stats["up"]["dropped"] > 0, f"cubic fills a queue until it drops: {stats['up']}")
        require(stats["up"]["queue_bytes_most"] <= 400_000, f"a queue of 400 KB held more: {stats['up']}")
        require(stats["down"]["dropped"] == 0, f"acknowledgements were dropped: {stats['down']}")
        late = [stats[side]["lateness_ms"]["p99"] for side in ("up", "down")]
    return f"{', '.join(figures)} Mbit/s of 20, 60, lateness p99 {max(late):.2f} ms"


def cuts():
    with Lab("--rtt", "2ms") as lab:
        lab.cut("60s", "--only", "down")
        require(lab.left.ping(lab.right, count=3) == [], "a ping passed a cut")
        stats = lab.stats("--reset")
        require((stats["up"]["cut"], stats["down"]["cut"]) == (0, 3), f"cut: {stats}")
        lab.cut("0s")
        round_trip(lab, 2)
        lab.cut("700ms")
        trips = lab.left.ping(lab.right, count=20, interval=0.1)
        require(5 <= len(trips) <= 19, f"a cut of 0.7 s left {len(trips)} of 20 pings")
        require(lab.sound()["up"]["cut"] == 20 - len(trips), "the cut is not counted")


FLOOD = """
import socket, sys
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.connect((sys.argv[1], 9))
for _ in range(60_000):
    try:
        peer.send(b"")
    except ConnectionRefusedError:
        pass
"""


def own_faults_are_told():
    """A relay that does not get to run misses packets. It says so, and `stats --sound` fails."""
    with Lab() as lab:
        lab.process.send_signal(signal.SIGSTOP)
        lab.left.run(sys.executable, "-c", FLOOD, lab.right.address)
        lab.process.send_signal(signal.SIGCONT)
        up = lab.stats()["up"]
        require(up["ring_drops"] >= 1000, f"60 000 packets fitted the ring: {up}")
        done = subprocess.run([LINKLAB, "stats", "--sound", "--control", lab.control], capture_output=True, text=True)
        require(done.returncode == 1 and '"sound":false' in done.stdout, f"ring drops are sound: {done}")
        lab.stats("--reset")
        lab.sound()


def two_at_once():
    with Lab("--rtt", "4ms") as one, Lab("--rtt", "30ms") as other:
        require(one.left.address != other.left.address, f"two labs have one address: {one.left.address}")
        round_trip(one, 4)
        round_trip(other, 30)


def nothing_stays():
    for how in (signal.SIGTERM, signal.SIGINT):
        with Lab() as lab:
            stays = sleeper(lab.right)
            pid = lab.process.pid
            require(len(traces(pid)) == 3, f"of a lab there is {traces(pid)}")
            require(lab.end(how) == 0, f"{how.name} did not end it well")
            require(traces(pid) == [], f"{how.name} left {traces(pid)}")
            require(is_ended(stays), "what runs in a host is ended with it")

    # Killed, and all of its group with it: its guard removes what it left, and nothing that belongs to one that lives.
    with Lab() as living, Lab() as killed:
        stays, pid = sleeper(killed.left), killed.process.pid
        killed.end(signal.SIGKILL)
        wait_until(lambda: traces(pid) == [], 20, "what kill -9 left to be gone")
        require(is_ended(stays), "what runs in a host is ended with it, if later")
        require(len(traces(living.process.pid)) == 3, "a living lab was taken for a dead one")
        round_trip(living, 0)
        group = subprocess.Popen(
            ["setsid", LINKLAB, "run", "--quiet", "--", "sh", "-c", "kill -9 0"], stdout=subprocess.DEVNULL)  # fmt: skip
        require(group.wait(20) == -signal.SIGKILL, f"kill -9 of a group: {group.returncode}")
        wait_until(lambda: traces(group.pid) == [], 20, "what kill -9 of a group left to be gone")

    # Those that do not listen are waited for once, not host after host.
    with Lab() as killed:
        pair, pid = deaf_pair(killed), killed.process.pid
        killed.end(signal.SIGKILL)
        wait_until(lambda: traces(pid) == [], 20, "what kill -9 left to be gone")
        said = [process.stdout.read() for process in pair]
        require(all(map(is_ended, pair)), "what runs in a host is ended with it, if it listens or not")
        require(said == ["with the other\n"] * 2, f"when they were asked to end, they were {said}")

    # The guard too: the next one removes what they left.
    with Lab() as living, Lab() as killed:
        stays, pid = sleeper(killed.left), killed.process.pid
        os.kill(guard(pid), signal.SIGKILL)
        killed.end(signal.SIGKILL)
        require(len(traces(pid)) == 3, "without a guard kill -9 leaves names, or this test tests nothing")
        done = subprocess.run([LINKLAB, "run", "--quiet", "--", "sh", "-c", "exit 7"])
        require(done.returncode == 7, f"the command ended with 7, linklab with {done.returncode}")
        require(traces(pid) == [], f"after kill -9 there stays {traces(pid)}")
        require(is_ended(stays), "what runs in a host is ended with it, if later")
        require(len(traces(living.process.pid)) == 3, "a living lab was taken for a dead one")

    # A process that has got a dead owner's id is not that owner; other names are nobody's business here.
    names = [f"linklab-{os.getpid()}-1-left", "linklab-1x-1-left", "linklab-", "linklabs-4000000-1-left"]
    names = [name + "-test" for name in names]
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run([LINKLAB, "run", "--quiet", "--", "true"], check=True)
        left = [name for name in names if pathlib.Path("/run/netns", name).exists()]
        require(left == names[1:], f"of {names} there are {left}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL)

    # Its parent's death ends it, and with it the command that it runs.
    parent = subprocess.Popen(
        ["sh", "-c", f'"{LINKLAB}" run --quiet -- sh -c "echo $$; sleep 1000" & echo $!; wait'],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    pid = int(parent.stdout.readline())
    parent.stdout.readline()  # it runs
    parent.kill()
    parent.wait()
    wait_until(lambda: traces(pid) == [], 10, "a lab whose parent was killed to be gone")
    parent.stdout.close()


def law():
    reason = why_not()
    if reason:
        print(f"skipped linklab: {reason}")
        return "skipped"
    parts = (delays_and_changes, seeded_loss, rates, cuts, own_faults_are_told, two_at_once, nothing_stays)
    return "; ".join(filter(None, (part() for part in parts)))


if __name__ == "__main__":
    main(law)
