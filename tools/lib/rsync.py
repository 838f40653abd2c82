"""An rsync daemon with one writable module, and pushes into it: what a transfer of ours is measured beside."""

import os
import re
import shutil
import socket
import subprocess
import time

from streamdiff_tools import free_port, require, wait_until


def anywhere(*command):
    """As `Host.command`, for this machine itself."""
    return [str(each) for each in command]


class Rsync:
    """On loopback, or between the hosts of a lab: `server` and `client` make commands that run there."""

    def __init__(self, work, address="127.0.0.1", server=anywhere, client=anywhere):
        self.target = work / "rsync-target"
        self.target.mkdir()
        self.client, self.address = client, address
        self.log = work / "rsyncd.log"
        # In a namespace of its own any port is free; here it is asked for.
        self.port = free_port() if server is anywhere else 8730
        config = work / "rsyncd.conf"
        config.write_text(
            f"use chroot = no\naddress = {address}\nport = {self.port}\nuid = {os.getuid()}\ngid = {os.getgid()}\n"
            f"log file = {self.log}\n[target]\npath = {self.target}\nread only = no\n"
        )
        self.process = subprocess.Popen(server("rsync", "--daemon", "--no-detach", f"--config={config}"))
        wait_until(self.listens, 10, "rsyncd")

    def listens(self):
        if self.process.poll() is not None:
            told = self.log.read_text() if self.log.exists() else ""
            require(False, f"rsyncd ended with {self.process.returncode}: {told}")
        if self.client is anywhere:
            with socket.socket() as probe:
                return probe.connect_ex((self.address, self.port)) == 0
        done = subprocess.run(self.client("rsync", f"rsync://{self.address}:{self.port}/"), capture_output=True, text=True)
        return "target" in done.stdout

    def push(self, tree, *options):
        """- Returns: seconds of the whole program, and bytes that it sent."""
        command = ["rsync", *options, "--stats", f"{tree}/", f"rsync://{self.address}:{self.port}/target/"]
        started = time.monotonic()
        done = subprocess.run(self.client(*command), capture_output=True, text=True)
        seconds = time.monotonic() - started
        require(done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
        sent = int(re.search(r"Total bytes sent: ([\d,]+)", done.stdout).group(1).replace(",", ""))
        return seconds, sent

    def clear(self):
        shutil.rmtree(self.target)
        self.target.mkdir()

    def stop(self):
        self.process.terminate()
        self.process.wait()
