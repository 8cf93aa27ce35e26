"""What stands for a proxy in tests: answers with given octets, and counts the requests."""

import itertools
import socket
import threading


def answer(status=200, length=200, content=None):
    """A whole answer; `content` may be less or more than the `length` it announces."""
    content = b"s" * length if content is None else content
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, length) + content


class Fake:
    """Listens on a port of its own. `answers(number)` says what octets the request of that number gets, and whether that
    is the end of its connection."""

    def __init__(self, answers):
        self.answers = answers
        self.counted = itertools.count()
        self.seen = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def requests(self):
        """As the origin does, it counts the question itself."""
        self.seen += 1
        return self.seen

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        waiting = b""
        with connection:
            while True:
                while b"\r\n\r\n" not in waiting:
                    try:
                        piece = connection.recv(65536)
                    except OSError:
                        return
                    if not piece:
                        return
                    waiting += piece
                head, _, waiting = waiting.partition(b"\r\n\r\n")
                octets, hangs_up = self.answers(next(self.counted))
                self.seen += 1
                try:
                    connection.sendall(octets)
                except OSError:
                    return
                if hangs_up or b"Connection: close" in head:
                    return
