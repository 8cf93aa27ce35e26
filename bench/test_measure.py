"""Nothing that is wrong is counted: an answer of a wrong status or length, one that is cut off, one that the origin never saw."""

import os
import tempfile
import time
import types
import unittest
from dataclasses import replace

import provide
from fakes import Fake, answer
from loads import LOADS
from measure import Generator, measured, resident_under_load
from processes import Failed
from start import until_answered

# However slow the machine: as many answers that one among many is among them.
LOAD = replace(LOADS["a"], connections=4, warm_answers=200)


class Proxy:
    """Stands for the proxy's process, which has had a millisecond more each time it is asked."""

    def __init__(self):
        self.nanoseconds = 0

    def cpu(self):
        self.nanoseconds += 1_000_000
        return self.nanoseconds


class Measurements(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        log = os.path.join(folder.name, "log")
        cls.generator = Generator(provide.load_generator(), os.sched_getaffinity(0), log)

    def measure(self, answers, load=LOAD, origin=None):
        fake = Fake(answers)
        self.addCleanup(fake.close)
        driven = self.generator.warmed_up(load, fake.port, 0.2, 0.05)
        try:
            return measured(driven, Proxy(), origin or fake)
        finally:
            driven.end()

    def refused(self, why, answers, **options):
        with self.assertRaisesRegex(Failed, why):
            self.measure(answers, **options)

    def test_right_answers_are_counted_and_timed(self):
        figures = self.measure(lambda _: (answer(), False))
        self.assertGreaterEqual(figures["answers"], LOAD.connections)
        self.assertGreaterEqual(figures["least"], 1)
        self.assertAlmostEqual(figures["cpu_us"], 1000 / figures["answers"])
        self.assertTrue(0 < figures["p50_us"] <= figures["p99_us"] <= figures["max_us"] < 1e7, figures)
        self.assertTrue(0.2 <= figures["seconds"] < 10, figures)

    def test_a_connection_for_each_request(self):
        figures = self.measure(lambda _: (answer(), False), load=replace(LOAD, options=("--close",)))
        self.assertGreaterEqual(figures["answers"], LOAD.connections)

    def test_content_that_comes_in_pieces_is_whole(self):
        load = replace(LOAD, length=3_000_000, warm_answers=4)
        octets = answer(length=load.length)
        self.assertGreaterEqual(self.measure(lambda _: (octets, False), load=load)["least"], 1)

    def test_a_wrong_status_is_found(self):
        self.refused("status 401 instead of 200", lambda _: (answer(401), False))

    def test_one_wrong_status_among_many_is_found(self):
        self.refused("status 502 instead of 200", lambda number: (answer(502 if number == 99 else 200), False))

    def test_content_of_a_wrong_length_is_found(self):
        for length in (199, 201, 0):
            self.refused(
                f"content of {length} octets instead of 200",
                lambda _, length=length: (answer(length=length), False),
            )

    def test_content_that_is_cut_off_is_found(self):
        self.refused("ended 80 octets early", lambda _: (answer(content=b"s" * 120), True))

    def test_content_that_is_cut_off_is_found_among_many_and_where_each_request_has_a_connection(self):
        def cut_off(number):
            return answer(content=b"s" * 199 if number == 50 else None), number == 50

        self.refused("ended 1 octets early", cut_off)
        self.refused("ended 1 octets early", cut_off, load=replace(LOAD, options=("--close",)))

    def test_content_longer_than_announced_is_found(self):
        self.refused("longer than it announced", lambda _: (answer(content=b"s" * 201), False))

    def test_an_answer_that_does_not_say_its_length_is_found(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc8\r\n" + b"s" * 200 + b"\r\n0\r\n\r\n"
        self.refused("framed by Transfer-Encoding", lambda _: (chunked, False))

    def test_a_connection_that_is_closed_instead_of_an_answer_is_found(self):
        self.refused("closed instead of an answer", lambda number: (b"" if number == 30 else answer(), number == 30))

    def test_answers_that_the_origin_did_not_give_are_found(self):
        origin = types.SimpleNamespace(counts=iter([100, 105]))
        origin.requests = lambda: next(origin.counts)
        self.refused("answers were counted, and 4 requests at the origin", lambda _: (answer(), False), origin=origin)

    def test_a_proxy_that_had_no_time_at_all_was_not_the_one_that_answered(self):
        fake = Fake(lambda _: (answer(), False))
        self.addCleanup(fake.close)
        driven = self.generator.warmed_up(LOAD, fake.port, 0.2, 0.05)
        try:
            with self.assertRaisesRegex(Failed, "answers for 0 ns"):
                measured(driven, types.SimpleNamespace(cpu=lambda: 5), fake)
        finally:
            driven.end()

    def test_memory_is_only_taken_where_every_connection_is_active(self):
        fake = Fake(lambda _: (answer(), False))
        self.addCleanup(fake.close)
        proxy = types.SimpleNamespace(resident=iter(range(10_000)).__next__)
        driven = self.generator.warmed_up(LOAD, fake.port, 0.3, 0.05)
        try:
            self.assertGreaterEqual(resident_under_load(driven, proxy), 2)
        finally:
            driven.end()
        idle = types.SimpleNamespace(go=lambda: None, is_over=lambda: True, result=lambda: {"least": 0})
        with self.assertRaisesRegex(Failed, "not all of them were active"):
            resident_under_load(idle, proxy)


class Starts(unittest.TestCase):
    def start(self, *answers):
        fake = Fake(lambda number: (answers[min(number, len(answers) - 1)], True))
        self.addCleanup(fake.close)
        process = types.SimpleNamespace(name="fake", started=time.monotonic(), require_running=lambda: None)
        return until_answered(types.SimpleNamespace(port=fake.port, process=process), LOAD)

    def test_not_yet_is_asked_again(self):
        self.assertGreater(self.start(answer(503, length=0), answer()), 0)

    def test_a_wrong_answer_is_no_start(self):
        for octets in (answer(401), answer(content=b"short")):
            with self.assertRaisesRegex(Failed, "fake answered"):
                self.start(octets)


if __name__ == "__main__":
    unittest.main()
