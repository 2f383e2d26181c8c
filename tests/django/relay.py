"""A wire between clients and a gateway, which a test can cut."""

import socket
import threading

from harness import free_port
from wire import Address, connect


class Relay:
    """What a lost mobile connection looks like."""

    def __init__(self, towards: Address) -> None:
        self.towards = towards
        self.address = ("127.0.0.1", free_port())
        self._ends: list[socket.socket] = []
        self.mend()

    def mend(self) -> None:
        """Let clients in."""
        self._listener = socket.create_server(self.address)
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        # A blocked accept() goes on holding the port; the shutdown wakes it.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            shut(end)
        self._ends.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.settimeout(None)
            gateway = connect(self.towards)
            gateway.settimeout(None)
            self._ends += [client, gateway]
            for source, sink in ((client, gateway), (gateway, client)):
                threading.Thread(target=pump, args=[source, sink], daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
    except OSError:
        pass
    shut(source)
    shut(sink)


def shut(conn: socket.socket) -> None:
    try:
        conn.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the other side was first
