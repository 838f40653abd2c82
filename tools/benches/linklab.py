"""tools/bench linklab: what tools/tests/linklab.py checks, at full size, with iperf3 and ping.

usage: linklab.py [PART...] [--seconds N]     PART: ping, rate, loss, beside, busy

Each part prints a line as it ends; a Markdown table closes it. Exits with 1 where a figure is outside its bounds.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from lab import Lab, why_not
from streamdiff_tools import require

rows = []
stolen_before = 0


def stolen():
    """ms, over all processors, that a hypervisor gave to other machines: no scheduling here helps against that."""
    ticks = int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    return ticks * 1000 // os.sysconf("SC_CLK_TCK")


def row(what, figure, bounds, holds, stats):
    """A result, with what the lab says of itself: it must have lost nothing, and how late it was."""
    late = max(stats[side]["lateness_ms"]["p99"] for side in ("up", "down"))
    drops = sum(stats[side][name] for side in ("up", "down") for name in ("ring_drops", "overflows", "refused"))
    global stolen_before
    taken, stolen_before = stolen() - stolen_before, stolen()
    rows.append((what, figure, bounds, f"{late:.2f}", taken, drops, "yes" if holds and drops == 0 else "**no**"))
    told = f"lateness p99 {late:.2f} ms, stolen {taken} ms, lost in the lab {drops}"
    print(f"{what}: {figure} ({bounds}), {told}", flush=True)


def iperf(lab, seconds, congestion, omit=2):
    """One flow from left to right, after its first `omit` seconds. - Returns: received Mbit/s."""
    server = lab.right.start("iperf3", "-s", "-1", "--forceflush", stdout=subprocess.PIPE)
    try:
        require(any("listening" in line for line in server.stdout), "no iperf3 server")
        flags = ["-O", str(omit), "-t", str(seconds), "-C", congestion, "-J"]
        told = json.loads(lab.left.run("iperf3", "-c", lab.right.address, *flags, timeout=omit + seconds + 30))
        return told["end"]["sum_received"]["bits_per_second"] / 1e6
    finally:
        server.kill()
        server.stdout.close()
        server.wait()


def ping(_):
    for rtt in (0, 1, 5, 20, 80, 150, 600):
        with Lab("--rtt", f"{rtt}ms") as lab:
            trips = lab.left.ping(lab.right, count=20, interval=0.1)
            trip = statistics.median(trips)
            holds = len(trips) == 20 and abs(trip - rtt) <= 1
            row(f"ping, {rtt} ms", f"{trip:.2f} ms, most {max(trips):.2f}", "±1 ms", holds, lab.stats())


def rate(seconds):
    """The queue holds 40 ms, and 100 KB: enough for a flow that the machine keeps waiting now and then."""
    for megabits in (10, 100, 300, 1000):
        queue = f"{max(100, 5 * megabits)}KB"
        with Lab("--rtt", "20ms", "--rate", f"{megabits}mbit", "--queue", queue) as lab:
            got = iperf(lab, seconds, "cubic")
            holds = 0.95 * megabits <= got <= megabits
            row(f"iperf3, cubic, 20 ms, {megabits} Mbit/s", f"{got:.1f} Mbit/s", "-5 %", holds, lab.stats())


def loss(seconds):
    """Losses bound cubic as they bound Reno: 1448 B / 40 ms × √(1.5 / 0.01) are 3.5 Mbit/s, without time-outs."""
    for congestion, least, most in (("cubic", 2, 5), ("bbr", 86, 97)):
        with Lab("--rtt", "40ms", "--rate", "100mbit", "--loss", "1%", "--congestion", congestion) as lab:
            got = iperf(lab, 3 * seconds, congestion)
            what = f"iperf3, {congestion}, 40 ms, 100 Mbit/s, 1 % lost"
            row(what, f"{got:.1f} Mbit/s", f"{least} to {most}", least <= got <= most, lab.stats())


def beside(seconds):
    """A ping beside a flow that fills the queue waits in it: 250 KB at 100 Mbit/s are 20 ms."""
    with Lab("--rtt", "20ms", "--rate", "100mbit", "--queue", "250KB") as lab:
        count = 10 * seconds
        pinger = lab.left.start(
            "ping", "-n", "-q", "-i", "0.1", "-c", str(count), lab.right.address, stdout=subprocess.PIPE
        )
        iperf(lab, seconds, "cubic")
        last = pinger.communicate()[0].splitlines()[-1]
        least, mean, most = map(float, last.split(" = ")[1].split("/")[:3])
        holds = 19 <= least and most <= 41 and mean >= 25
        figure = f"{least:.1f} / {mean:.1f} / {most:.1f} ms"
        row("a ping beside cubic, 20 ms, queue 20 ms", figure, "20 to 41", holds, lab.stats())


def busy(seconds):
    """Every processor is taken by others."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count())]
    try:
        with Lab("--rtt", "20ms", "--rate", "100mbit") as lab:
            require(lab.ready["scheduling"] == "fifo", "SCHED_FIFO was refused")
            trips = lab.left.ping(lab.right, count=100)
            trip = statistics.median(trips)
            row("busy: ping, 20 ms", f"{trip:.2f} ms", "±1 ms", abs(trip - 20) <= 1, lab.stats("--reset"))
            for _ in range(5):  # one of them without the hypervisor's part
                lab.stats("--reset")
                before = stolen()
                got = iperf(lab, seconds, "cubic")
                stats = lab.stats()
                late = max(stats[side]["lateness_ms"]["p99"] for side in ("up", "down"))
                if late <= 1:
                    break
                print(f"busy: p99 {late:.2f} ms, stolen {stolen() - before} ms: again", flush=True)
            row("busy: iperf3, cubic, 100 Mbit/s", f"{got:.1f} Mbit/s", "p99 ≤ 1 ms", late <= 1, stats)
    finally:
        for other in others:
            other.kill()
            other.wait()


PARTS = {part.__name__: part for part in (ping, rate, loss, beside, busy)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--seconds", type=int, default=8)
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are: {', '.join(PARTS)}")
    reason = why_not()
    if reason:
        print(f"linklab: {reason}", file=sys.stderr)
        return 77
    global stolen_before
    stolen_before = stolen()
    for part in options.parts or PARTS:
        PARTS[part](options.seconds)
    print("\n| what | figure | bounds | lateness p99, ms | stolen, ms | lost in the lab | holds |\n|---|---|---|---|---|---|---|")
    for each in rows:
        print("| " + " | ".join(map(str, each)) + " |")
    return 0 if all(each[-1] == "yes" for each in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
