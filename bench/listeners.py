"""Who listens on a port, as the kernel tells it.

With SO_REUSEPORT a second listener silently takes half of the load, and halves a figure: exactly one socket may listen on
each port, and it has to be the measured process's own.
"""

import os
import re
import socket

LISTEN = "0A"


class Crowded(Exception):
    """Not exactly one listener of the expected process."""


def listening(port, tables=("/proc/net/tcp", "/proc/net/tcp6")):
    """{inode: user id} of all sockets that listen on this port, on whatever address."""
    found = {}
    for table in tables:
        try:
            with open(table, encoding="ascii") as file:
                rows = [line.split() for line in file.readlines()[1:]]
        except FileNotFoundError:
            continue
        for row in rows:
            if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port:
                found[int(row[9])] = int(row[7])
    return found


def held_by(ids):
    """The inodes of the sockets that these processes have open."""
    found = set()
    for pid in ids:
        folder = f"/proc/{pid}/fd"
        for name in os.listdir(folder):
            try:
                kind = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                continue
            if kind:
                found.add(int(kind[1]))
    return found


def require_one(port, name, ids):
    """Raises unless one socket listens on the port, and these processes have it."""
    sockets = listening(port)
    if len(sockets) != 1:
        raise Crowded(f"{len(sockets)} sockets listen on port {port}, which {name} should have for itself")
    [(inode, user)] = sockets.items()
    try:
        is_theirs = inode in held_by(ids)
    except PermissionError:
        # bearward lets nobody but root look into it. Then its user has to do, on a port that was free just before.
        is_theirs = user == os.getuid()
    if not is_theirs:
        raise Crowded(f"port {port} is not {name}'s but somebody else's")


def free_ports(count):
    """Loopback ports that nobody listens on now. Who takes one meanwhile is found by `require_one`."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports
