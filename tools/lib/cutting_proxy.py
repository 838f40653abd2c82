"""A TCP proxy that cuts connections after random numbers of bytes, in either direction, as a seed says."""

import random
import socket
import struct
import threading


class CuttingProxy:
    """Forwards to `target`; cuts connection after connection until it has cut `cuts` of them.

    A cut falls after a number of bytes between `least` and `most`, counted on the way to the server, or between
    `least` and `most_back` on the way back, whichever comes first; half of the cuts are resets, half are orderly ends in the middle of
    what is being said.
    """

    def __init__(self, target, seed, cuts, least, most, most_back):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.random = random.Random(seed)
        self.planned, self.least, self.most = cuts, least, (most, most_back)
        self.cuts = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self.lock:
                self.connections += 1
                limits = (None, None)
                if self.cuts < self.planned:
                    limits = [self.random.randint(self.least, most) for most in self.most]
                resets = self.random.random() < 0.5
            for source, destination, limit in ((client, server, limits[0]), (server, client, limits[1])):
                threading.Thread(
                    target=self._forward, args=(source, destination, limit, resets), daemon=True
                ).start()

    def _forward(self, source, destination, left, resets):
        try:
            while data := source.recv(65536):
                if left is not None and len(data) >= left:
                    destination.sendall(data[:left])
                    with self.lock:
                        self.cuts += 1
                    return self._end(source, destination, resets)
                if left is not None:
                    left -= len(data)
                destination.sendall(data)
            destination.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(source, destination, False)

    @staticmethod
    def _end(source, destination, resets):
        for each in (source, destination):
            try:
                if resets:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)
                if resets:
                    each.close()
            except OSError:
                pass

    def close(self):
        self.listener.close()
