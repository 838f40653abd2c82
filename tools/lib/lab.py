"""A lab of `linklab` for the scripts under tools/: two hosts, a link, what runs in them, and how to change it."""

import json
import os
import re
import signal
import subprocess
import sys

from streamdiff_tools import BINARY, Failure, require

LINKLAB = BINARY.parent / "linklab"
CANNOT_RUN_HERE = 77


def why_not():
    """Why there can be no lab on this machine: told by making one. `None` when there can."""
    done = subprocess.run([LINKLAB, "run", "--quiet", "--", "true"], capture_output=True, text=True)
    if done.returncode == 0:
        return None
    require(done.returncode == CANNOT_RUN_HERE, f"linklab run -- true: exit {done.returncode}: {done.stderr}")
    reason = done.stderr.strip()
    # Where everything is there for it, in CI, a law must not pass by being left out.
    require(not (os.geteuid() == 0 and os.environ.get("CI") == "true"), f"skipped as root in CI: {reason}")
    return reason


class Host:
    def __init__(self, namespace, address):
        self.namespace, self.address = namespace, address

    def command(self, *command):
        return ["ip", "netns", "exec", self.namespace, *map(str, command)]

    def start(self, *command, **options):
        return subprocess.Popen(self.command(*command), text=True, **options)

    def run(self, *command, timeout=60):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=timeout)
        said = " ".join(map(str, command))
        require(done.returncode == 0, f"{said}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def python(self, code, *arguments, **options):
        return self.start(sys.executable, "-c", code, *arguments, **options)

    def ping(self, other, count=10, interval=0.05):
        """- Returns: round trips in ms, of the packets that came back."""
        command = self.command("ping", "-n", "-c", str(count), "-i", str(interval), "-W", "2", other.address)
        done = subprocess.run(command, capture_output=True, text=True)
        return [float(each) for each in re.findall(r"time=([\d.]+) ms", done.stdout)]


class Lab:
    """`with Lab("--rtt", "20ms") as lab`: lab.left and lab.right are hosts, up is from left to right."""

    def __init__(self, *flags):
        self.flags = flags

    def __enter__(self):
        self.process = subprocess.Popen(
            [LINKLAB, "keep", *self.flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise Failure(f"linklab keep {' '.join(self.flags)}: exit {code}: {self.process.stderr.read()}")
        self.ready = json.loads(line)
        self.control = self.ready["control"]
        self.left, self.right = (Host(**self.ready[side]) for side in ("left", "right"))
        return self

    def _ask(self, *arguments):
        done = subprocess.run([LINKLAB, *arguments, "--control", self.control], capture_output=True, text=True)
        said = " ".join(arguments)
        require(done.returncode == 0, f"linklab {said}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def set(self, *flags):
        return json.loads(self._ask("set", *flags))

    def stats(self, *flags):
        return json.loads(self._ask("stats", *flags))

    def cut(self, length, *flags):
        self._ask("cut", length, *flags)

    def sound(self):
        """Counters, of a lab that lost nothing that it should not have lost."""
        return self.stats("--sound")

    def end(self, how=signal.SIGTERM):
        """- Returns: how it ended."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(20)
        self.process.stdout.close()
        self.process.stderr.close()
        return code

    def __exit__(self, *_):
        self.end()


# Takes bytes for ARGV[1] seconds from the first on and prints how many came after the first ARGV[2].
SINK = """
import socket, sys, time
listener = socket.create_server(("", 5001))
print("ready", flush=True)
peer, _ = listener.accept()
seconds, warm = map(float, sys.argv[1:])
start, count = time.monotonic(), 0
while (now := time.monotonic()) < start + seconds:
    got = len(peer.recv(1 << 20))
    if not got:
        break
    if now >= start + warm:
        count += got
print(count, time.monotonic() - start - warm, flush=True)
"""

SOURCE = """
import socket, sys
peer = socket.socket()
peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, sys.argv[2].encode())
peer.connect((sys.argv[1], 5001))
piece = bytes(1 << 17)
try:
    while True:
        peer.sendall(piece)
except OSError:
    pass
"""


def transfer(sender, receiver, seconds=4.0, warm=2.0, congestion="cubic"):
    """One TCP flow. - Returns: payload in bits a second, after `warm` seconds."""
    sink = receiver.python(SINK, str(seconds), str(warm), stdout=subprocess.PIPE)
    require(sink.stdout.readline() == "ready\n", "no sink")
    source = sender.python(SOURCE, receiver.address, congestion)
    try:
        count, elapsed = sink.communicate(timeout=seconds + 20)[0].split()
    finally:
        for process in (source, sink):
            process.kill()
            process.wait()
    return int(count) * 8 / float(elapsed)
