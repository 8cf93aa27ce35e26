"""The course of a run: everything is laid out, then in each round each proxy has each load for a moment, in an order
that rotates.

Knows the sequence and what is kept of it. Does not know how figures are shown.
"""

import contextlib
import os
import shutil
import tempfile

import provide
import wrk
from listeners import Crowded
from loads import LOADS, OURS
from measure import Generator, measured, resident_under_load
from origin import Origin
from peers import Instance
from processes import Cores, Failed, allow_descriptors, require_counters
from start import until_answered

CONNECTIONS = (64, 1000)
DRIVERS = ("load", "wrk")
# Beside what is measured, each measurement warms up and has processes to start.
WARM_SECONDS = 0.25
OVERHEAD_SECONDS = 0.25


class Course:
    """What one run needs; as a context it ends all that was started and removes what was written."""

    def __init__(self, arguments, tell):
        self.arguments = arguments
        self.tell = tell
        require_counters()
        self.cores = Cores()
        self.descriptors = allow_descriptors()
        self.instances = {}
        self.ending = contextlib.ExitStack()
        self.broken = set()
        self.mistakes = []
        self.left_out = []

    def __enter__(self):
        try:
            self._lay_out()
        except BaseException:
            self.ending.close()
            raise
        return self

    def __exit__(self, *_):
        self.ending.close()

    def _lay_out(self):
        program = provide.load_generator()
        nginx = provide.nginx(self.arguments.install)
        self.peers = {}
        for name in self.arguments.proxies:
            try:
                self.peers[name] = provide.peer(name, self.arguments.install, self.arguments.binary)
            except Failed as why:
                if name == OURS:
                    raise
                self.left_out.append(f"{name}: {why}")
                self.tell(f"left out: {name}: {why}")
        self.folder = tempfile.mkdtemp(prefix="bearward-bench-")
        self.ending.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.generator = Generator(program, self.cores.load, os.path.join(self.folder, "load.log"))
        self.origin = Origin(nginx, self.folder, self.cores.origin, self.descriptors)
        self.ending.callback(self.origin.process.end)
        self.origin.wait()
        # The load generator is not the only one that has to stay off the proxies' core.
        os.sched_setaffinity(0, self.cores.load)

    def instance(self, name, setup):
        """Started at its first use."""
        key = (name, setup)
        if key not in self.instances:
            self.instances[key] = self._start(name, setup, os.path.join(self.folder, f"{name}-{setup}"))
            until_answered(self.instances[key], probe(setup))
        return self.instances[key]

    def _start(self, name, setup, folder):
        instance = Instance(self.peers[name], setup, folder, self.origin, self.cores.proxy, self.descriptors)
        self.ending.callback(instance.process.end)
        return instance

    def estimated_seconds(self):
        each = self.arguments.seconds + WARM_SECONDS + OVERHEAD_SECONDS
        pairs = sum(len(self.usable(load)) for load in self.arguments.loads)
        seconds = 5 + pairs * self.arguments.rounds * each
        if self.arguments.wrk:
            seconds += min(self.arguments.rounds, 5) * len(self.peers) * len(wrk.LOADS) * (each + 1.2)
        if self.arguments.memory:
            seconds += len(self.peers) * (len(CONNECTIONS) * 3 + self.arguments.starts * 0.15)
        return seconds

    def usable(self, load):
        """The proxies that have this load, but for those that have failed."""
        return [name for name in load.peers if name in self.peers and (name, load.setup) not in self.broken]

    def rounds(self):
        """{load: {proxy: {round: figures}}}; a proxy that fails is named and has no further figures, the others have theirs."""
        kept = {load.key: {name: {} for name in self.usable(load)} for load in self.arguments.loads}
        for load in self.arguments.loads:
            for name in self.usable(load):
                with self.mistake(f"{name} ({load.setup})", (name, load.setup)):
                    self.instance(name, load.setup)
        for number in range(self.arguments.rounds):
            self.tell(f"round {number + 1} of {self.arguments.rounds}")
            self.require_alone()
            for place, load in enumerate(self.arguments.loads):
                names = self.usable(load)
                turn = (number + place) % max(len(names), 1)
                for name in names[turn:] + names[:turn]:
                    with self.mistake(f"{name}, load {load.key}, round {number + 1}"):
                        kept[load.key][name][number] = self._measure(load, name)
        return kept

    def _measure(self, load, name):
        instance = self.instance(name, load.setup)
        driven = self._driven(load, instance, self.arguments.seconds)
        try:
            return measured(driven, instance.process, self.origin)
        finally:
            driven.end()

    def _driven(self, load, instance, seconds, connections=None):
        return self.generator.warmed_up(load, instance.port, seconds, WARM_SECONDS, connections)

    def require_alone(self):
        """Every port has one listener, which is whom it is meant for. Without its origin, a run is over."""
        self.origin.require_alone()
        for key, instance in self.instances.items():
            if key not in self.broken:
                with self.mistake(instance.process.name, key):
                    instance.require_alone()

    def memory(self):
        """{proxy: {connections: octets}}, each with a process that has done nothing else."""
        kept = {}
        for name in self.peers:
            kept[name] = {}
            for connections in CONNECTIONS:
                with self.mistake(f"{name}, memory at {connections} connections"):
                    with self._fresh(name, f"memory-{connections}") as instance:
                        until_answered(instance, LOADS["a"])
                        instance.require_alone()
                        driven = self._driven(LOADS["a"], instance, 1.5, connections)
                        try:
                            kept[name][connections] = resident_under_load(driven, instance.process)
                        finally:
                            driven.end()
        return kept

    def starts(self):
        """{proxy: [seconds]}; ours without a token, and, as `bearward, token stored`, with one from an earlier start."""
        kept = {}
        for turn in range(self.arguments.starts):
            for name in self.peers:
                with self.mistake(f"{name}, start {turn + 1}"):
                    folder = f"start-{turn}"
                    with self._fresh(name, folder) as instance:
                        kept.setdefault(name, []).append(until_answered(instance, LOADS["a"]))
                    if name == OURS:
                        with self._fresh(name, folder) as instance:
                            kept.setdefault(f"{name}, token stored", []).append(until_answered(instance, LOADS["a"]))
        return kept

    def by_wrk(self):
        """As `rounds`, driven by wrk, with ours right after it."""
        program = provide.wrk(self.arguments.install)
        loads = [load for load in self.arguments.loads if load.key in wrk.LOADS]
        kept = {f"{load.key}, {driver}": {} for load in loads for driver in DRIVERS}
        for number in range(min(self.arguments.rounds, 5)):
            self.require_alone()
            for load, name in [(one, name) for one in loads for name in self.usable(one)]:
                with self.mistake(f"{name}, load {load.key} by wrk, round {number + 1}"):
                    instance = self.instance(name, load.setup)
                    drive = (program, load, instance, self.origin, self.generator, self.arguments.seconds)
                    figures = {"wrk": wrk.driven_by_wrk(*drive), "load": self._measure(load, name)}
                    for driver in DRIVERS:
                        kept[f"{load.key}, {driver}"].setdefault(name, {})[number] = figures[driver]
        return kept

    @contextlib.contextmanager
    def _fresh(self, name, folder):
        instance = self._start(name, "plain", os.path.join(self.folder, f"{name}-{folder}"))
        try:
            yield instance
        finally:
            instance.process.end()

    @contextlib.contextmanager
    def mistake(self, where, breaks=None):
        """One figure that cannot be had is named, and makes the run fail at its end; the others are still worth having.
        `breaks` names an instance that cannot be used any more."""
        try:
            yield
        except (Failed, Crowded, OSError, ValueError) as why:
            self.mistakes.append(f"{where}: {why}")
            self.tell(f"FAILED: {where}: {why}")
            if breaks:
                self.broken.add(breaks)


def probe(setup):
    """A load that an instance of this setup answers."""
    return next(load for load in LOADS.values() if load.setup == setup)
