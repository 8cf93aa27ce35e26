"""One measurement: a load is driven through a proxy, everything that comes back is checked and counted, and what the
proxy's processes had of their core is read before and after, while nothing is under way.
"""

import json
import select
import subprocess
import time
from dataclasses import dataclass

from processes import Failed, Process

PATIENCE = 60


@dataclass(frozen=True)
class Generator:
    """The load generator as it is started: its program, its cores, and where it writes what is wrong."""

    program: str
    cores: set
    log: str

    def warmed_up(self, load, port, seconds, warm_seconds, connections=None):
        """It has sent for `warm_seconds`, has all answers, and waits."""
        arguments = {
            "--to": f"127.0.0.1:{port}",
            "--target": load.target,
            "--length": load.length,
            "--connections": connections or load.connections,
            "--seconds": seconds,
            "--warm-seconds": warm_seconds,
            "--warm-answers": load.warm_answers,
        }
        words = [str(word) for argument in arguments.items() for word in argument]
        return Driven([self.program, *words, *load.options], self.cores, self.log)


class Driven:
    """A running load generator in its two steps: warmed up, then measured."""

    def __init__(self, command, cores, log):
        open(log, "wb").close()
        self.process = Process("the load generator", command, cores, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            said = self._line()
            if said != "ready":
                raise Failed(f"the load generator said {said!r}")
        except BaseException:
            self.end()
            raise

    def go(self):
        self.process.child.stdin.write(b"go\n")
        self.process.child.stdin.flush()

    def result(self):
        return json.loads(self._line())

    def is_over(self):
        return bool(select.select([self.process.child.stdout], [], [], 0)[0])

    def end(self):
        self.process.end()

    def _line(self):
        stdout = self.process.child.stdout
        if not select.select([stdout], [], [], PATIENCE)[0]:
            raise Failed(f"the load generator said nothing within {PATIENCE} s")
        line = stdout.readline().decode().strip()
        if not line:
            self.process.child.wait(PATIENCE)
            raise Failed(self.process.last_words())
        return line


def measured(driven, proxy, origin):
    """Figures of one load on one proxy; raises where anything was not as it should be."""
    requests = origin.requests()
    before = proxy.cpu()
    driven.go()
    figures = driven.result()
    spent = proxy.cpu() - before
    # What was asked about it between is one request, the question itself.
    arrived = origin.requests() - requests - 1
    if arrived != figures["answers"]:
        raise Failed(f"{figures['answers']} answers were counted, and {arrived} requests at the origin")
    if not figures["answers"] or spent <= 0:
        raise Failed(f"{figures['answers']} answers for {spent} ns")
    figures["cpu_us"] = spent / 1e3 / figures["answers"]
    figures["busy"] = spent / 1e9 / figures["seconds"]
    figures["per_second"] = figures["answers"] / figures["seconds"]
    return figures


def resident_under_load(driven, proxy):
    """The most memory that was seen while requests were under way on every connection."""
    driven.go()
    most = 0
    while not driven.is_over():
        most = max(most, proxy.resident())
        time.sleep(0.05)
    figures = driven.result()
    if figures["least"] < 1:
        raise Failed("a connection had no answer: not all of them were active")
    return most
