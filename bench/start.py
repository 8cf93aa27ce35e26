"""From a process's start to the first answer that went through it, token included."""

import socket
import time

from processes import Failed

PATIENCE = 20


def until_answered(instance, load):
    """Seconds from before the start of `instance` until the whole first answer was there."""
    head = [
        f"GET {load.target} HTTP/1.1",
        f"Host: 127.0.0.1:{instance.port}",
        "Connection: close",
        *fields(load.options),
        "",
        "",
    ]
    request = "\r\n".join(head).replace("{}", "0").encode()
    begun = instance.process.started
    while time.monotonic() < begun + PATIENCE:
        try:
            with socket.create_connection(("127.0.0.1", instance.port), timeout=PATIENCE) as connection:
                connection.sendall(request)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
        except OSError:
            instance.process.require_running()
            continue
        took = time.monotonic() - begun
        head, _, content = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200 ") and len(content) == load.length:
            return took
        # A proxy that is not ready yet may say so; anything else will not get better.
        if not head.startswith(b"HTTP/1.1 503 "):
            raise Failed(f"{instance.process.name} answered {head[:80]!r}")
    raise Failed(f"{instance.process.name} gave no answer within {PATIENCE} s")


def fields(options):
    """The fields that the load generator is told to send."""
    return [value for name, value in zip(options, options[1:]) if name == "--field"]
