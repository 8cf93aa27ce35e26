"""What is sent and what is answered: the loads, the origin that answers them, and the application that asks.

Knows every octet of both sides, and that an answer which is not the expected one makes a measurement worthless. Does not know
bearward, or how instructions are counted.
"""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from pathlib import Path

CONNECTIONS = 8

# Opaque, as long as many tokens are. What reaches the origin without it is answered 401.
TOKEN = "t" * 256

# What a small client sends. The origin gets it as bearward passes it on.
REQUEST_FIELDS = (
    ("User-Agent", "application/1.0"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Accept-Language", "en"),
    ("Connection", "keep-alive"),
)

# What nginx answers with. The date stands still, for it is no part of what is measured.
ANSWER_FIELDS = (
    ("Server", "nginx"),
    ("Date", "Fri, 01 Nov 2024 12:00:00 GMT"),
    ("Content-Type", "application/octet-stream"),
    ("Content-Length", "200"),
    ("Last-Modified", "Fri, 01 Nov 2024 11:00:00 GMT"),
    ("Connection", "keep-alive"),
    ("ETag", '"6724b670-c8"'),
    ("Accept-Ranges", "bytes"),
)
ANSWER_CONTENT = b"a" * 200


class Load:
    """One kind of request: its name in the figures, the upstream it goes through, what it carries."""

    def __init__(self, name, what, upstream, content=b""):
        self.name, self.what, self.upstream, self.content = name, what, upstream, content

    @property
    def start(self):
        return "POST /orders HTTP/1.1" if self.content else "GET /small HTTP/1.1"

    def request(self, authority):
        fields = [("Host", authority), *REQUEST_FIELDS]
        if self.content:
            fields += [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(self.content)))]
        return _head(self.start, fields) + self.content


LOADS = {
    load.name: load
    for load in (
        Load("a", "GET, answered with 200 octets", "plain"),
        Load("c", "POST of 1 KiB, answered with 200 octets", "plain", content=b"c" * 1024),
        Load("f", "GET, answered with 200 octets by an upstream that speaks TLS", "tls"),
    )
}


class WrongAnswer(Exception):
    """What came is not what was to come, so there is nothing to count."""


class Application:
    """Connections that stand, over which requests go out in one fixed order."""

    def __init__(self, address, load):
        self._request = load.request("{}:{}".format(*address))
        try:
            self._connections = [_Connection(socket.create_connection(address, timeout=60)) for _ in range(CONNECTIONS)]
        except OSError as error:
            raise WrongAnswer(f"no connection: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self._connections:
            connection.close()

    def exchange(self, requests):
        """As many requests, one under way on each connection; the next ones go out when all of these are answered."""
        assert requests % CONNECTIONS == 0, "every connection carries as many"
        try:
            for _ in range(requests // CONNECTIONS):
                for connection in self._connections:
                    connection.send(self._request)
                for connection in self._connections:
                    _expect(*connection.answer())
        except TimeoutError as error:
            raise WrongAnswer("no answer within a minute") from error
        except OSError as error:
            raise WrongAnswer(f"a connection broke: {error}") from error


def _expect(status, content):
    if status != "200":
        raise WrongAnswer(f"status {status} instead of 200: {content[:200].decode(errors='replace')}")
    if content != ANSWER_CONTENT:
        raise WrongAnswer(f"a body of {len(content)} octets is not the {len(ANSWER_CONTENT)} that the origin sent")


class _Connection:
    """A blocking connection that reads heads and content of known length."""

    def __init__(self, stream):
        self._stream, self._read = stream, b""
        with contextlib.suppress(OSError):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, octets):
        self._stream.sendall(octets)

    def close(self):
        self._stream.close()

    def message(self):
        """Start line, fields by lower-case name, content; None where the connection ended before a message."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        start, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        content = self._exactly(int(fields.get("content-length", "0")))
        return start, fields, content

    def answer(self):
        answer = self.message()
        if answer is None:
            raise WrongAnswer("the connection ended without an answer")
        start, fields, content = answer
        if "content-length" not in fields:
            raise WrongAnswer("an answer without Content-Length")
        return start.split(" ")[1], content

    def _until(self, end):
        while end not in self._read:
            if not self._more():
                return None
        head, self._read = self._read.split(end, 1)
        return head

    def _exactly(self, length):
        while len(self._read) < length:
            if not self._more():
                raise WrongAnswer(f"the connection ended after {len(self._read)} of {length} octets of a body")
        content, self._read = self._read[:length], self._read[length:]
        return content

    def _more(self):
        octets = self._stream.recv(65536)
        self._read += octets
        return octets


class Origin:
    """Serves on two ports, in plain and in TLS, and issues tokens on both."""

    def __init__(self, folder):
        self.certificate = Path(folder) / "origin.pem"
        self.token_requests = 0
        self._answer = _head("HTTP/1.1 200 OK", ANSWER_FIELDS) + ANSWER_CONTENT
        self._listeners = {
            "plain": socket.create_server(("127.0.0.1", 0)),
            "tls": socket.create_server(("127.0.0.1", 0)),
        }
        self._tls = _server_context(self.certificate)
        for name, listener in self._listeners.items():
            threading.Thread(target=self._accept, args=(listener, name == "tls"), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for listener in self._listeners.values():
            # A thread that waits in accept() is woken by this, and not by a mere close.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def port(self, name):
        return self._listeners[name].getsockname()[1]

    def _accept(self, listener, tls):
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(stream, tls), daemon=True).start()

    def _serve(self, stream, tls):
        # A connection that bearward gives up, or never used, ends here without a word: the application sees the consequence.
        with contextlib.suppress(OSError, WrongAnswer):
            if tls:
                stream = self._tls.wrap_socket(stream, server_side=True)
            with stream:
                connection = _Connection(stream)
                while (message := connection.message()) is not None:
                    connection.send(self._answer_to(*message))

    def _answer_to(self, start, fields, content):
        if start == "POST /token HTTP/1.1":
            self.token_requests += 1
            return _answer("200 OK", {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 86400})
        if fields.get("authorization") != f"Bearer {TOKEN}":
            return _answer("401 Unauthorized", {"error": "the request carries no token"})
        if (start, content) not in ((load.start, load.content) for load in LOADS.values()):
            return _answer("400 Bad Request", {"error": f"{start} with a body of {len(content)} octets is no load's"})
        return self._answer


def _answer(status, said):
    content = json.dumps(said).encode()
    fields = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
    ]
    return _head(f"HTTP/1.1 {status}", fields) + content


def _head(start, fields):
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def _server_context(certificate):
    key = certificate.with_suffix(".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context
