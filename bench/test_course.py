"""The sequence: every proxy has its turn at every place, and one that fails is named and left."""

import contextlib
import types
import unittest

from course import Course
from loads import LOADS
from processes import Failed


class Instance:
    """Stands for a running proxy; `fails` says what it does wrong once it is looked at."""

    def __init__(self, name):
        self.process = types.SimpleNamespace(name=name)
        self.fails = ""

    def require_alone(self):
        if self.fails:
            raise Failed(self.fails)


class Rehearsal(Course):
    """A course without processes: measurements are only written down."""

    def __init__(self, loads, names, rounds):
        self.arguments = types.SimpleNamespace(loads=[LOADS[key] for key in loads], rounds=rounds)
        self.peers = dict.fromkeys(names)
        self.instances, self.broken, self.mistakes, self.measured = {}, set(), [], []
        self.tell = lambda _: None
        self.origin = types.SimpleNamespace(require_alone=lambda: None)
        self.ending = contextlib.ExitStack()
        self.at_start = {}

    def instance(self, name, setup):
        if name in self.at_start:
            raise self.at_start[name]
        return self.instances.setdefault((name, setup), Instance(name))

    def _measure(self, load, name):
        self.measured.append((load.key, name))
        return {"number": len(self.measured)}


class Sequence(unittest.TestCase):
    def test_each_proxy_is_first_second_and_third(self):
        course = Rehearsal(["a"], ["bearward", "nginx", "haproxy"], 3)
        kept = course.rounds()
        firsts = [course.measured[at][1] for at in (0, 3, 6)]
        self.assertEqual(sorted(firsts), ["bearward", "haproxy", "nginx"])
        self.assertEqual({name: len(rounds) for name, rounds in kept["a"].items()}, dict.fromkeys(course.peers, 3))

    def test_a_load_is_only_for_those_that_have_it(self):
        course = Rehearsal(["g", "j"], ["bearward", "nginx", "envoy"], 1)
        course.rounds()
        self.assertEqual(sorted(course.measured), [("g", "bearward"), ("g", "envoy"), ("j", "bearward")])

    def test_one_that_does_not_start_is_named_and_the_others_are_measured(self):
        for why in (Failed("ended with 1"), OSError("no such file"), ValueError("no figure")):
            course = Rehearsal(["a", "c", "f"], ["bearward", "nginx"], 2)
            course.at_start["nginx"] = why
            kept = course.rounds()
            self.assertEqual(kept["a"]["nginx"], {})
            self.assertEqual(len(kept["c"]["bearward"]), 2)
            self.assertEqual(course.mistakes, [f"nginx (plain): {why}", f"nginx (tls): {why}"])

    def test_one_whose_port_is_shared_is_not_measured_any_more(self):
        course = Rehearsal(["a"], ["bearward", "nginx"], 3)
        measure = course._measure

        def measured(load, name):
            course.instances["nginx", "plain"].fails = "2 sockets listen"
            return measure(load, name)

        course._measure = measured
        kept = course.rounds()
        self.assertEqual((len(kept["a"]["bearward"]), len(kept["a"]["nginx"])), (3, 1))
        self.assertEqual(course.mistakes, ["nginx: 2 sockets listen"])

    def test_without_its_origin_a_run_is_over(self):
        course = Rehearsal(["a"], ["bearward"], 3)
        course.origin = Instance("the origin")
        course.origin.fails = "the origin ended"
        with self.assertRaisesRegex(Failed, "the origin ended"):
            course.rounds()

    def test_a_wrong_answer_costs_one_figure_and_is_named(self):
        course = Rehearsal(["a"], ["bearward", "nginx"], 3)
        measure = course._measure

        def measured(load, name):
            figures = measure(load, name)
            if len(course.measured) == 3:
                raise Failed("status 502 instead of 200")
            return figures

        course._measure = measured
        kept = course.rounds()
        self.assertEqual(sum(map(len, kept["a"].values())), 5)
        self.assertRegex(course.mistakes[0], r"^\w+, load a, round 2: status 502 instead of 200$")


if __name__ == "__main__":
    unittest.main()
