"""A SOURCE that cannot be read to its end, or changes under the push: exit 1 with the file's name, and nothing is
deleted at the receiver, --delete-anyway or not; what a file holds there stays whole. What changes for a moment
only is read again. And what a pull does with a DEST it cannot write, a link, or a signal.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from streamdiff_tools import BINARY, Server, keyspace, main, require, run, run_json, scratch, wait_until

# Reads of files whose name ends in FAULT_FILE fail from the second MiB on.
EIO = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>
static int fails(int fd, long offset) {
  char link[64], path[4096];
  const char *wanted = getenv("FAULT_FILE");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  long length = readlink(link, path, sizeof path);
  if (!wanted || length < (long)strlen(wanted)) return 0;
  return !memcmp(path + length - strlen(wanted), wanted, strlen(wanted)) && offset >= 1 << 20;
}
ssize_t pread(int fd, void *buffer, size_t count, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (!real) real = dlsym(RTLD_NEXT, "pread");
  if (fails(fd, offset + (long)count)) { errno = EIO; return -1; }
  return real(fd, buffer, count, offset);
}
ssize_t pread64(int fd, void *buffer, size_t count, off_t offset) { return pread(fd, buffer, count, offset); }
"""


def drop_rights():
    """Root reads everything: without these two capabilities it does not."""
    if os.geteuid() == 0:
        import ctypes
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            if ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
                os._exit(99)


class Late:
    """Forwards to the server, but acts before it accepts: the push has scanned its source then and sent nothing."""

    def __init__(self, server, act):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        host, port = server.address.rsplit(":", 1)
        threading.Thread(target=self.serve, args=((host, int(port)), act), daemon=True).start()

    def serve(self, target, act):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            act()
            upstream = socket.create_connection(target)
            for a, b in ((client, upstream), (upstream, client)):
                threading.Thread(target=self.forward, args=(a, b), daemon=True).start()

    @staticmethod
    def forward(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def push(source, name, server, *flags, **keywords):
    address = getattr(server, "address", server)
    return subprocess.run(
        [str(BINARY), "push", str(source), "--keyspace", name, "--server", address, *flags],
        capture_output=True, text=True, timeout=120, **keywords)


def directories(server, work):
    library = work / "eio.so"
    compiler = shutil.which("clang") or shutil.which("cc")
    require(compiler, "no C compiler to build the fault with")
    (work / "eio.c").write_text(EIO)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, work / "eio.c", "-ldl"], check=True)

    def change(path):
        path.write_bytes(os.urandom(100_000))

    def appear(source):
        shutil.rmtree(source / "d")
        (source / "d").write_text("a file now")

    # name, what happens before the push, or (late) between its scan and its first byte, extra keywords, what is named
    rows = [
        ("unreadable file", lambda s: (s / "d/f3").chmod(0), None, {"preexec_fn": drop_rights}, "d/f3"),
        ("unreadable directory", lambda s: (s / "d").chmod(0), None, {"preexec_fn": drop_rights}, "d"),
        ("EIO in the middle", None, None, {"env": {**os.environ, "LD_PRELOAD": str(library), "FAULT_FILE": "d/large"}}, "d/large"),
        ("changed after the scan", None, lambda s: change(s / "d/changed"), {}, "d/changed"),
        ("cut after the scan", None, lambda s: os.truncate(s / "d/changed", 10), {}, "d/changed"),
        ("gone after the scan", None, lambda s: (s / "d/changed").unlink(), {}, "d/changed"),
        ("directory gone after the scan", None, lambda s: shutil.rmtree(s / "d"), {}, "d/"),
        ("directory become a file", None, appear, {}, "d/"),
    ]
    for number, (what, before, late, keywords, named) in enumerate(rows):
        for flags in ([], ["--delete-anyway"]):
            name = f"faults-{number}-{len(flags)}"
            source = work / name
            (source / "d").mkdir(parents=True)
            for n in range(8):
                (source / f"d/f{n}").write_text(f"{n}")
            (source / "d/large").write_bytes(os.urandom(3 << 20))
            (source / "d/changed").write_bytes(os.urandom(90_000))
            (source / "gone").write_text("deleted at the source")
            run("push", source, "--keyspace", name, server=server)
            whole = {p.name: p.read_bytes() for p in source.rglob("*") if p.is_file()}
            # The next push has a deletion and a changed file to do, and meets the fault.
            (source / "gone").unlink()
            (source / "d/changed").write_bytes(os.urandom(90_000))
            if before:
                before(source)
            target = Late(server, lambda: late(source)) if late else server
            done = push(source, name, target, *flags, **keywords)
            (source / "d").exists() and (source / "d").chmod(0o755)
            where = f"{what} {flags}"
            require(done.returncode == 1 and named in done.stderr, f"{where}: {done}")
            for path, content in whole.items():
                place = path if path == "gone" else f"d/{path}"
                held = subprocess.run(
                    [str(BINARY), "get", place, "--keyspace", name, "--server", server.address], capture_output=True, timeout=60)
                require(held.returncode == 0 and held.stdout == content,
                        f"{where}: {place} is not whole at the receiver: exit {held.returncode}, {len(held.stdout)} bytes")
    return len(rows)


def lines(server, work):
    good = "".join(json.dumps({"key": f"k{n}", "value": f"v{n}"}) + "\n" for n in range(50))
    source = work / "source.ndjson"
    source.write_text(good)
    run("push", source, "--keyspace", "lines", server=server)
    for what, text in (("cut within a line", good[: len(good) - 9]), ("cut within a key", good[:-25]), ("half a line", '{"key":"a"')):
        source.write_text(text)
        done = push(source, "lines", server, "--delete-anyway")
        require(done.returncode == 1 and "source.ndjson" in done.stderr and "line" in done.stderr, f"{what}: {done}")
        require(keyspace(server, "lines")["entries"] == 50, f"{what}: something was deleted")
    source.write_text(good[:-1])
    require(push(source, "lines", server).returncode == 0, "a last line without a line feed is complete")


def moving(server, work):
    """Written for a moment: read again. Written for ever: 1, with the name."""
    source = work / "moving"
    source.mkdir()
    (source / "rests").write_text("x")
    (source / "log").write_bytes(bytes(8 << 20))
    for seconds, code in ((0.05, 0), (1000, 1)):
        ended = threading.Event()

        def write():
            end = time.monotonic() + seconds
            while time.monotonic() < end and not ended.is_set():
                with open(source / "log", "ab") as out:
                    out.write(b"more")

        writer = threading.Thread(target=write)
        writer.start()
        done = push(source, "moving", server)
        ended.set()
        writer.join()
        require(done.returncode == code and (code == 0 or "log" in done.stderr), f"written for {seconds} s: {done}")


def destinations(server, work):
    source = work / "pulled.ndjson"
    source.write_text('{"key":"k","value":"v"}\n')
    run("push", source, "--keyspace", "dest", server=server)
    (work / "real").mkdir()
    (work / "real/file").write_text('{"key":"old","value":"o"}\n')
    (work / "link").symlink_to("real/file")
    run("pull", work / "link", "--keyspace", "dest", server=server)
    require((work / "link").is_symlink() and (work / "real/file").read_text() == source.read_text(), "the link was replaced")
    (work / "nowhere").symlink_to("not/there")
    done = run("pull", work / "nowhere", "--keyspace", "dest", server=server, codes=(1,))
    require("link" in done.stderr and (work / "nowhere").is_symlink(), f"a link that leads nowhere: {done}")
    # A key of any bytes can be read back from what verify lists.
    tree = work / "names"
    tree.mkdir()
    (tree / "plain").write_text("1")
    run("push", tree, "--keyspace", "names", server=server)
    with open(os.fsencode(tree) + b"/a\xff", "wb") as out:
        out.write(b"2")
    listed = json.loads(run("verify", tree, "--keyspace", "names", "--json", server=server, codes=(3,)).stdout)["keys"]
    require(listed == [{"key": "a\\xff", "key_base64": "Yf8=", "how": "extra"}], f"verify lists {listed}")


def signals(server, work):
    """SIGINT and SIGTERM end a pull with nothing unfinished left."""
    source = work / "big"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(48 << 20))
    run("push", source, "--keyspace", "big", server=server)
    for number in (signal.SIGINT, signal.SIGTERM):
        dest = work / f"interrupted-{number}"
        pull = subprocess.Popen(
            [str(BINARY), "pull", str(dest), "--keyspace", "big", "--server", server.address],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: pull.poll() is not None or dest.exists() and os.listdir(dest), 60, "an unfinished file")
        pull.send_signal(number)
        _, said = pull.communicate(timeout=60)
        require(pull.returncode == -number and "interrupted" in said or pull.returncode == 0, f"{number}: {pull.returncode} {said}")
        require(os.listdir(dest) in ([], ["file"]), f"left over: {os.listdir(dest)}")


def read_only(server, work):
    """A read-only mount as SOURCE is a source as any; as DEST it is exit 1 by the file's name, and stays as it was."""
    place = work / "read-only"
    place.mkdir()
    for name, content in (("kept", "old"), ("changed", "old")):
        (place / name).write_text(content)
    done = subprocess.run(["mount", "--bind", place, place], capture_output=True, text=True)
    if done.returncode:
        require(os.geteuid() != 0 or os.environ.get("CI") != "true", f"as root a bind mount must be possible: {done.stderr}")
        return f"read-only mounts skipped: {done.stderr.strip()}"
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        run("push", place, "--keyspace", "mounted", server=server)
        run("verify", place, "--keyspace", "mounted", server=server)
        new = work / "newer"
        new.mkdir()
        (new / "kept").write_text("old")
        (new / "changed").write_text("new")
        run("push", new, "--keyspace", "mounted", server=server)
        done = run("pull", place, "--keyspace", "mounted", server=server, codes=(1,))
        require("changed" in done.stderr and "Read-only" in done.stderr, f"pull: {done.stderr}")
        run("put", "a", "b", "--keyspace", "line", server=server)
        done = run("pull", place / "lines.ndjson", "--keyspace", "line", server=server, codes=(1,))
        require(f"{place}/" in done.stderr and "Read-only" in done.stderr, f"pull of lines: {done.stderr}")
        require(sorted(os.listdir(place)) == ["changed", "kept"], f"left: {os.listdir(place)}")
        require((place / "changed").read_text() == "old", "a read-only file changed")
    finally:
        subprocess.run(["umount", place], check=True)
    return "read-only mounts"


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            pid = server.pid
            rows = directories(server, work)
            lines(server, work)
            moving(server, work)
            destinations(server, work)
            signals(server, work)
            mounts = read_only(server, work)
            require(server.process.poll() is None and server.pid == pid, "the server is not the same process")
            server.stop()
    return f"{rows} faults of a directory, each with and without --delete-anyway; {mounts}"


if __name__ == "__main__":
    main(law)
