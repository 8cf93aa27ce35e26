"""Processes that the benchmark starts: each on its core, each ended by its id.

Knows what Linux counts for a process (run time, resident memory). Does not know what any of them does.
"""

import contextlib
import os
import resource
import signal
import subprocess
import threading
import time


class Failed(Exception):
    """A process did not do what it is there for; the text says which and why."""


class Cores:
    """Which cores the proxy under measurement, the origin and the load have. `load` is a set, the others one core each."""

    def __init__(self, available=None, siblings=None):
        available = sorted(os.sched_getaffinity(0) if available is None else available)
        siblings = siblings or threads_of_core
        self.proxy = available[-1]
        # What runs on the other thread of the proxy's core would slow it down.
        others = [core for core in available if core not in siblings(self.proxy)] or available[:-1] or available
        self.origin = others[-1]
        self.load = set(others[:-1]) or {self.origin}

    def __str__(self):
        load = ", ".join(str(core) for core in sorted(self.load))
        text = f"cores: proxy {self.proxy} alone, origin {self.origin}, load {load}"
        if self.proxy in (self.origin, *self.load):
            text += " (ONE core for all: what is measured is distorted)"
        return text


def threads_of_core(core):
    """The logical processors that share a core with this one, itself among them."""
    try:
        with open(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list", encoding="ascii") as file:
            return numbers(file.read())
    except OSError:
        return {core}


def numbers(text):
    """`0,2-3` as a set."""
    found = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def run_time(schedstat):
    """Nanoseconds on a core: the first figure of a schedstat file."""
    figures = schedstat.split()
    if len(figures) != 3:
        raise ValueError(f"not a schedstat: {schedstat!r}")
    return int(figures[0])


class Process:
    """One started program and its children, such as nginx's worker."""

    def __init__(self, name, command, cores, log, environment=None, **options):
        self.name = name
        self.log = log
        inherited = os.sched_getaffinity(0)
        with open(log, "ab") as written:
            # A child inherits the cores of the thread that starts it; `taskset` would be one more program to wait for.
            os.sched_setaffinity(0, cores)
            try:
                options.setdefault("stdout", written)
                options.setdefault("stdin", subprocess.DEVNULL)
                self.started = time.monotonic()
                self.child = subprocess.Popen(
                    command, stderr=written, env=environment, start_new_session=True, **options
                )
            except OSError as error:
                raise Failed(f"{name} cannot be started: {error}") from error
            finally:
                os.sched_setaffinity(0, inherited)
        prefer(self.child.pid)

    def ids(self):
        """Its own and its descendants' process ids."""
        found = [self.child.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                        found.extend(int(child) for child in file.read().split())
        return found

    def cpu(self):
        """Nanoseconds that all threads of it have had so far."""
        total = 0
        for pid in self.ids():
            for task in os.listdir(f"/proc/{pid}/task"):
                # A thread may end in between; the proxies' do not while they carry load.
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        total += run_time(file.read())
        return total

    def resident(self):
        """Octets of resident memory. What a child shares with its parent counts once: of all processes but the largest, only
        their private pages."""
        sizes = []
        for pid in self.ids():
            # Only root may look into a process that forbids it, as bearward does; its status says the sum.
            for name in ("smaps_rollup", "status"):
                with contextlib.suppress(PermissionError), open(f"/proc/{pid}/{name}", encoding="utf-8") as file:
                    sizes.append(memory(file.read()))
                    break
        sizes.sort(reverse=True)
        return sizes[0][0] + sum(private for _, private in sizes[1:])

    def require_running(self):
        status = self.child.poll()
        if status is not None:
            raise Failed(f"{self.name} ended with {status}: {self.last_words()}")

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return " | ".join(line.strip() for line in file.readlines()[-5:]) or "it said nothing"

    def end(self):
        """SIGTERM, and after two seconds SIGKILL, to what it consists of."""
        ids = self.ids() if self.child.poll() is None else []
        for kind, patience in ((signal.SIGTERM, 2), (signal.SIGKILL, 5)):
            for pid in ids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kind)
            try:
                self.child.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        for stream in (self.child.stdin, self.child.stdout):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()


def prefer(pid):
    """Whatever else the machine does shall have less of the cores. Only root may ask for that; others measure with more noise.

    Where the scheduler groups processes by session, what counts is the group's niceness."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, -20)
        with open(f"/proc/{pid}/autogroup", "w", encoding="ascii") as file:
            file.write("-20")


def memory(text):
    """Resident and private octets, from `smaps_rollup` or `status`, which does not tell private pages."""
    resident = private = 0
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "VmRSS"):
            resident = int(rest.split()[0]) * 1024
        elif name in ("Private_Clean", "Private_Dirty", "RssAnon"):
            private += int(rest.split()[0]) * 1024
    if not resident:
        raise ValueError(f"no resident memory in {text[:80]!r}")
    return resident, private


def allow_descriptors(enough=20_000):
    """As many files as the system lets us have, up to `enough`; what is started inherits that. Returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = enough if most == resource.RLIM_INFINITY else min(most, enough)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))
    return allowed


def require_counters():
    """Without these files of the kernel, a part of what a proxy costs would be missing."""
    for name in ("children", "schedstat"):
        if not os.path.exists(f"/proc/self/task/{threading.get_native_id()}/{name}"):
            raise Failed(f"this kernel has no /proc/PID/task/TID/{name}: nothing can be measured here")


def end_on_signals():
    """SIGTERM and SIGHUP take the way of ctrl-C, so that what was started is ended."""

    def interrupt(*_):
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(kind, interrupt)
