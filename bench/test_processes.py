"""What is started is ended, whatever it does against it."""

import os
import sys
import tempfile
import time
import unittest

from processes import Failed, Process

STUBBORN = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(sys.argv[1] + "/child", "w").close()
    time.sleep(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + "/parent", "w").close()
time.sleep(60)
"""


# Before any test has started anything.
CORES = os.sched_getaffinity(0)


def is_running(pid):
    """Not ended, and no zombie that nobody has asked for yet."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Processes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *command):
        process = Process("it", command, {max(CORES)}, os.path.join(self.folder, "log"))
        self.addCleanup(process.end)
        return process

    def wait_for(self, *names):
        until = time.monotonic() + 10
        while not all(os.path.exists(os.path.join(self.folder, name)) for name in names):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)

    def test_it_ends_with_its_child_though_neither_wants_to(self):
        process = self.start(sys.executable, "-c", STUBBORN, self.folder)
        self.wait_for("parent", "child")
        ids = process.ids()
        self.assertEqual(len(ids), 2)
        process.end()
        until = time.monotonic() + 10
        while any(map(is_running, ids)):
            self.assertLess(time.monotonic(), until)
            time.sleep(0.01)
        process.end()

    def test_it_runs_on_its_core_and_those_who_start_it_stay_on_theirs(self):
        process = self.start("sleep", "60")
        self.assertEqual(os.sched_getaffinity(process.child.pid), {max(CORES)})
        self.assertEqual(os.sched_getaffinity(0), CORES)

    def test_what_it_had_of_its_core_only_grows(self):
        process = self.start(sys.executable, "-c", "while True: pass")
        first = process.cpu()
        until = time.monotonic() + 10
        while process.cpu() <= first:
            self.assertLess(time.monotonic(), until)

    def test_its_last_words_say_why_it_ended(self):
        process = self.start("sh", "-c", "echo no such port >&2; exit 3")
        process.child.wait(10)
        with self.assertRaisesRegex(Failed, "it ended with 3: no such port"):
            process.require_running()

    def test_a_program_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(Failed, "it cannot be started"):
            self.start(os.path.join(self.folder, "absent"))


if __name__ == "__main__":
    unittest.main()
