"""Runs a bearward under callgrind and says what it executed while a load went through it.

Knows valgrind, its gdbserver, and the configuration that is measured (the defaults, two upstreams, one token). Does not know what
a figure should be.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from instructions_load import CONNECTIONS, Application, Origin, WrongAnswer

# By then every pool, buffer and cache has its size.
WARM_UP = 50 * CONNECTIONS
COUNTED = 250 * CONNECTIONS

# Under valgrind everything takes fifty times as long.
PATIENCE = 120

CONFIGURATION = """
[store]
kind = "memory"

[tokens.api]
grant_type     = "client_credentials"
token_endpoint = "http://127.0.0.1:{plain}/token"
client_id      = "application"
client_secret  = "secret"

[upstreams.plain]
url    = "http://127.0.0.1:{plain}"
token  = "api"
listen = "127.0.0.1:0"

[upstreams.tls]
url    = "https://localhost:{tls}"
token  = "api"
listen = "127.0.0.1:0"
tls    = {{ ca = "{certificate}" }}
"""


class CannotMeasure(Exception):
    """There is no figure, and why."""


def count(binary, loads, folder, requests=COUNTED):
    """Instructions per request of each load, and the file in which callgrind says where they went."""
    folder = Path(folder)
    counted = {}
    with Origin(folder) as origin, _Bearward(binary, origin, folder) as bearward:
        for load in loads:
            try:
                dump = _counted(bearward, load, origin, requests)
            except WrongAnswer as error:
                raise CannotMeasure(f"{load.name}: {error}\n{bearward.said()}") from error
            counted[load.name] = (_total(dump) / requests, dump)
    return counted


def _counted(bearward, load, origin, requests):
    with Application(bearward.address(load.upstream), load) as application:
        application.exchange(WARM_UP)
        issued = origin.token_requests
        bearward.begin()
        application.exchange(requests)
        dump = bearward.dump()
    if origin.token_requests != issued:
        raise CannotMeasure("a token was asked for while requests were counted")
    return dump


def _total(dump):
    found = re.search(r"^totals: (\d+)\b", dump.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    if not found or int(found[1]) == 0:
        raise CannotMeasure(f"callgrind counted nothing: {dump}")
    return int(found[1])


class _Bearward:
    """A bearward that runs under callgrind. Nothing is counted until `begin`."""

    def __init__(self, binary, origin, folder):
        self._folder, self._log = folder, folder / "bearward.log"
        self._out, self._dumps = folder / "callgrind.out", 0
        configuration = folder / "bearward.toml"
        ports = {name: origin.port(name) for name in ("plain", "tls")}
        configuration.write_text(CONFIGURATION.format(certificate=origin.certificate, **ports), encoding="utf-8")
        command = [
            "valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-systime=yes", f"--callgrind-out-file={self._out}",
            f"--vgdb-prefix={folder}/vgdb", f"--log-file={folder}/valgrind.log", "--",
            str(binary), "run", "-c", str(configuration),
        ]  # fmt: skip
        # Nothing of the environment decides over what is counted, its size included, which moves the stack.
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def address(self, upstream):
        """Where it takes requests for this upstream: it says so in its log."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self._log.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if said.get("message") == "listening" and said.get("name") == upstream:
                        host, port = said["address"].rsplit(":", 1)
                        return host, int(port)
            self._lives()
            time.sleep(0.05)
        raise CannotMeasure(f"no listener for {upstream} within {PATIENCE} s\n{self.said()}")

    def begin(self):
        self._lives()
        self._tell("instrumentation on")
        self._tell("zero")

    def dump(self):
        self._lives()
        self._dumps += 1
        self._tell("dump")
        dump = Path(f"{self._out}.{self._dumps}")
        if not dump.exists():
            raise CannotMeasure(f"callgrind wrote no {dump}\n{self.said()}")
        return dump

    def _tell(self, command):
        vgdb = ["vgdb", f"--pid={self._process.pid}", f"--vgdb-prefix={self._folder}/vgdb", *command.split()]
        try:
            told = subprocess.run(vgdb, capture_output=True, text=True, timeout=PATIENCE, check=False)
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(
                f"valgrind does not take `{command}` within {PATIENCE} s: may this user trace processes?"
            ) from error
        if told.returncode != 0:
            raise CannotMeasure(f"valgrind does not take `{command}`: {told.stderr}\n{self.said()}")

    def _lives(self):
        if self._process.poll() is not None:
            raise CannotMeasure(f"bearward ended under valgrind\n{self.said()}")

    def said(self):
        logs = (self._log, self._folder / "valgrind.log")
        return "\n".join(log.read_text(encoding="utf-8", errors="replace")[-2000:] for log in logs if log.exists())
