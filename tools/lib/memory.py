"""Anonymous memory of running processes, and bulk data to move through them.

What counts is RssAnon of /proc/PID/status, every 100 ms: heap, stacks and other memory that no file backs.
Pages of files (the program itself, RocksDB's tables) can be dropped by the kernel and are nobody's leak.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import subprocess
import threading

from streamdiff_tools import BINARY, Failure, require, wait_until

MIB = 1 << 20


def anonymous(pid):
    """Bytes of RssAnon now; None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    found = re.search(r"^RssAnon:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None  # a zombie has no memory lines


class Sampler:
    """The peak of a process's anonymous memory in a `with` block, or up to its end."""

    PERIOD = 0.1

    def __init__(self, pid):
        self.pid = pid
        self.peak = 0
        self.samples = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while True:
            now = anonymous(self.pid)
            if now is None:
                return
            self.peak = max(self.peak, now)
            self.samples += 1
            if self.ended.wait(self.PERIOD):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        require(self.samples > 0, f"process {self.pid} ended before its memory was read once")


def measured(*commands, server, codes=(0,)):
    """Client commands with --json, all at once, beside the server. Returns the largest peak of a client, and the
    server's."""
    lines = [[str(BINARY), *map(str, command), "--json", "--server", server.address] for command in commands]
    with Sampler(server.pid) as serving, contextlib.ExitStack() as stack:
        processes = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in lines]
        samplers = [stack.enter_context(Sampler(process.pid)) for process in processes]
        outputs = [process.communicate() for process in processes]
    for line, process, output in zip(lines, processes, outputs):
        if process.returncode not in codes:
            raise Failure(f"{' '.join(line)}: exit {process.returncode}\n{output[0]}\n{output[1]}")
    return max(sampler.peak for sampler in samplers), serving.peak


def restarted(server):
    """Starts a server that was killed. Returns its peak until it was ready, its log replayed."""
    starting = threading.Thread(target=server.start)
    server.process = None
    starting.start()
    wait_until(lambda: server.process is not None or not starting.is_alive(), 60, "the server's process")
    with Sampler(server.process.pid) as sampler:
        starting.join()
    require(server.process.poll() is None, f"the server did not start again: {server.messages()}")
    return sampler.peak


def noise(seed, count):
    """`count` bytes that nothing compresses, the same for the same seed (any text)."""
    return hashlib.shake_128(str(seed).encode()).digest(count)


def text(seed, count):
    """`count` bytes of lines that compress to about a third, the same for the same seed."""
    digits = noise(seed, count // 3 + 16).hex()
    lines = (f'{{"id":"{digits[at : at + 32]}","state":"unchanged","size":4096}}\n' for at in range(0, 1 << 30, 32))
    output = []
    total = 0
    while total < count:
        output.append(next(lines))
        total += len(output[-1])
    return "".join(output).encode()[:count]


def file_bytes(seed, number, size):
    """Of a bulk file: every second one compresses, the others do not."""
    return (noise if number % 2 else text)(f"{seed}/{number}", size)


def write_files(root, count, size, seed=1):
    """`count` files of `size` bytes in directories of 64."""
    root = pathlib.Path(root)
    for number in range(count):
        path = root / f"{number // 64:03d}" / f"{number:05d}.bin"
        if number % 64 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file_bytes(seed, number, size))


def change_files(root, fraction, seed):
    """Rewrites 64 KiB in the middle of every file of a share of all, and inserts 100 bytes at its start."""
    paths = sorted(pathlib.Path(root).rglob("*.bin"))
    step = max(1, round(1 / fraction))
    changed = paths[seed % step :: step]
    for path in changed:
        bytes = path.read_bytes()
        middle = len(bytes) // 2
        part = noise(f"{seed}/{path.name}", 64 << 10)
        path.write_bytes(noise(f"{seed}+{path.name}", 100) + bytes[:middle] + part + bytes[middle + len(part) :])
    return len(changed)


def write_lines(path, count, seed=1, every=0):
    """`count` entries of about 100 bytes in an order that looks random. With `every`, the value of each key
    that is a multiple of it differs from that of the same seed without."""
    step = 2_654_435_761  # a prime: the walk meets every key once
    with open(path, "w") as out:
        for start in range(0, count, 4096):
            block = min(4096, count - start)
            values = noise(f"{seed}/{start}", 25 * block).hex()
            lines = []
            for place in range(block):
                key = (start + place) * step % count
                what = f"changed {every}" if every and key % every == 0 else "item"
                lines.append(f'{{"key":"user/{key:09d}","value":"{values[50 * place : 50 * place + 50]} {what} {key} of the set"}}\n')
            out.write("".join(lines))
