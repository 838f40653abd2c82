"""What the scripts under tools/ share: the binary, a server of one's own, and the two data sets.

Everything listens on loopback and port 0; everything started here is ended here, by pid.
"""

import gzip
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("STREAMDIFF_BIN", ROOT / ".build/release/streamdiff"))
OLD, NEW = "1.43.100", "1.44.5"


class Failure(Exception):
    """A law did not hold; the message says which."""


def require(condition, message):
    if not condition:
        raise Failure(message)


class Server:
    """One `streamdiff serve` on a port of its own."""

    def __init__(self, data_dir, *arguments, binary=BINARY, prefix=(), environment=None):
        self.data_dir = pathlib.Path(data_dir)
        self.arguments = arguments
        self.binary = binary
        self.prefix = list(prefix)
        self.environment = {**os.environ, **{name: str(value) for name, value in (environment or {}).items()}}
        self.process = None
        self.address = None
        self.port = 0

    def start(self, timeout=60):
        self.log = open(self.data_dir.parent / (self.data_dir.name + ".log"), "ab")
        self.process = subprocess.Popen(
            self.prefix
            + [str(self.binary), "serve", "--data-dir", str(self.data_dir)]
            + ["--listen", f"127.0.0.1:{self.port}", *self.arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=self.environment,
        )
        timer = threading.Timer(timeout, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready listen="):
            self.process.wait()
            raise Failure(f"the server did not get ready: {line!r}, exit {self.process.returncode}: {self.messages()}")
        self.address = line.split("listen=", 1)[1].split()[0]
        self.port = int(self.address.rsplit(":", 1)[1])
        return self

    def messages(self):
        path = self.data_dir.parent / (self.data_dir.name + ".log")
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    @property
    def pid(self):
        """The server's own process id, also where a prefix (strace) was started in front of it."""
        if not self.prefix:
            return self.process.pid
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def kill(self):
        """kill -9, and wait until it is gone."""
        if self.process and self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        self._close()

    def stop(self, timeout=60):
        """SIGTERM; the server drains and leaves with 0."""
        code = None
        if self.process and self.process.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                code = self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"the server did not stop within {timeout} s of SIGTERM")
        self._close()
        return code

    def _close(self):
        if self.process and self.process.stdout:
            self.process.stdout.close()
        if not self.log.closed:
            self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.kill()


def run(*arguments, server=None, codes=(0,), stdin=None, text=True, timeout=600):
    """One client command. Raises unless its exit code is among `codes` (None: any)."""
    command = [str(BINARY), *map(str, arguments)]
    if server is not None:
        command += ["--server", server.address]
    done = subprocess.run(command, input=stdin, capture_output=True, text=text, timeout=timeout)
    if codes is not None and done.returncode not in codes:
        raise Failure(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def run_json(*arguments, server=None, codes=(0,)):
    return json.loads(run(*arguments, "--json", server=server, codes=codes).stdout)


def status(server):
    return run_json("status", server=server)


def keyspace(server, name="default"):
    for each in status(server)["keyspaces"]:
        if each["name"] == name:
            return each
    return {"name": name, "root": None, "entries": 0, "bytes": 0}


def scratch(prefix="streamdiff-", directory=None):
    """A temporary directory, in `directory` if that is given, that goes away with the `with` block."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=directory)


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = pathlib.Path(base) / "streamdiff"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _unpack(wheel, destination):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(destination)
    for path in list(destination.rglob("*.gz")):
        with gzip.open(path) as packed:
            path.with_suffix("").write_bytes(packed.read())
        path.unlink()


def trees():
    """The old and the new source tree: botocore's wheels, or a tree of this machine and a changed copy.

    Returns (old, new, name). Kept in the cache directory, made whole before they get their names.
    """
    cache = cache_directory()
    found = []
    for version in (OLD, NEW):
        destination = cache / f"botocore-{version}"
        if not destination.is_dir():
            with scratch() as work:
                work = pathlib.Path(work)
                fetched = subprocess.run(
                    [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "--timeout", "20", "--retries", "1", "-d", work, f"botocore=={version}"],
                    capture_output=True,
                )
                wheels = list(work.glob("*.whl"))
                if fetched.returncode or not wheels:
                    return _fallback(cache)
                unpacked = cache / f".botocore-{version}-{os.getpid()}"
                _unpack(wheels[0], unpacked)
                unpacked.rename(destination)
        found.append(destination)
    return found[0], found[1], "botocore"


def _fallback(cache):
    """/usr/share/doc as it is, and a copy of it with files changed, added and deleted."""
    old = pathlib.Path("/usr/share/doc")
    new = cache / "doc-changed"
    if not new.is_dir():
        unpacked = cache / f".doc-{os.getpid()}"
        shutil.copytree(old, unpacked, symlinks=True)
        files = sorted(p for p in unpacked.rglob("*") if p.is_file() and not p.is_symlink())
        for number, path in enumerate(files):
            if number % 10 == 0:
                path.write_bytes(path.read_bytes() + b"one more line\n")
            elif number % 50 == 1:
                path.unlink()
            elif number % 40 == 2:
                (path.parent / (path.name + ".added")).write_bytes(path.read_bytes()[::-1])
        unpacked.rename(new)
    return old, new, "doc"


def ndjson(path, count, seed=1):
    """`count` entries of about 100 bytes in random key order."""
    import random

    random = random.Random(seed)
    keys = list(range(count))
    random.shuffle(keys)
    with open(path, "w") as out:
        for key in keys:
            value = f"{random.getrandbits(200):050x} item {key} of the set"
            out.write(f'{{"key":"user/{key:09d}","value":"{value}"}}\n')


def rss_anon(pid):
    """Anonymous memory of a process, in bytes."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise Failure(f"process {pid} has no RssAnon: is it gone?")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds, what):
    """Polls for an event that another process brings about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(0.002)


def main(law):
    """Runs one script's law and reports as tools/test counts."""
    name = pathlib.Path(sys.argv[0]).stem
    try:
        result = law()
    except Failure as failure:
        print(f"FAILED {name}: {failure}", file=sys.stderr)
        sys.exit(1)
    print(f"ok {name}" + (f": {result}" if result else ""))
