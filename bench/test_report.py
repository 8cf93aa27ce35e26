"""What is shown: every figure, whether its goal is met or not."""

import json
import types
import unittest
import xml.etree.ElementTree as xml

import report
from chart import svg
from loads import GOALS, LOADS, OURS, PEERS, chosen


def figures(cpu):
    return {"cpu_us": cpu, "busy": 0.9, "per_second": 1e6 / cpu, "p50_us": 50, "p99_us": 5000, "answers": 1000}


def found(**cpu):
    """The summary of a run with three rounds of load a, in which each proxy had these figures."""
    course = types.SimpleNamespace(
        cores="cores: …",
        peers={name: types.SimpleNamespace(version="1.2", program=__file__) for name in cpu},
        arguments=types.SimpleNamespace(rounds=3, seconds=1.0),
        left_out=["envoy: it is not here"],
        mistakes=["haproxy, load a, round 2: status 502 instead of 200"],
    )
    rounds = {"a": {name: {number: figures(cost) for number, cost in enumerate(costs)} for name, costs in cpu.items()}}
    rounds["i"] = {OURS: {number: figures(cost * 1.5) for number, cost in enumerate(cpu[OURS])}}
    memory = {name: {64: 3 << 20, 1000: 30 << 20} for name in cpu}
    starts = {name: [0.004, 0.005, 0.006] for name in cpu}
    return report.summary(course, rounds, memory, starts, 60.0)


class Reports(unittest.TestCase):
    def setUp(self):
        self.found = found(bearward=[10, 20, 40], nginx=[20, 32, 48], haproxy=[10, 20, 40])

    def test_a_ratio_is_the_median_of_the_rounds_own(self):
        row = self.found["loads"]["a"]["proxies"]["nginx"]
        self.assertEqual((row["ratio"][1], row["goal"], row["met"]), (1.6, 1.5, True))
        self.assertEqual(row["cpu_us"], 32)

    def test_a_goal_that_is_missed_says_so_beside_its_figure(self):
        for text in (report.as_text(self.found), report.as_markdown(self.found)):
            self.assertIn("1.60 [1.40–1.80] goal 1.5 met", text)
            self.assertIn("1.00 [1.00–1.00] goal 1.35 NOT MET", text)
            self.assertIn("1.500 [1.500–1.500]", text)
            self.assertIn("at most 1.05: NOT MET", text)
            self.assertIn("3.0 MiB, goal < 4: met", text)
            self.assertIn("30.0 MiB, goal < 20: NOT MET", text)
            self.assertIn("5.0 ms [4.5–5.5], goal < 10: met", text)

    def test_what_is_left_out_or_wrong_is_named(self):
        for text in (report.as_text(self.found), report.as_markdown(self.found)):
            self.assertIn("left out: envoy: it is not here", text)
            self.assertIn("FAILED: haproxy, load a, round 2: status 502 instead of 200", text)

    def test_a_run_that_was_disturbed_says_so(self):
        self.assertNotIn("DISTURBED", report.as_text(self.found))
        for row in self.found["loads"]["a"]["proxies"].values():
            row["busy"] = 0.42
        self.assertIn("DISTURBED: the proxies had 42 % of their core", report.as_text(self.found))

    def test_a_proxy_without_a_single_figure_is_a_dash(self):
        one = found(bearward=[10], nginx=[])
        self.assertIn("–", report.as_text(one))
        self.assertNotIn("nginx", one["loads"]["a"]["proxies"])

    def test_rows_of_a_markdown_table_have_as_many_cells_as_its_heading(self):
        lines = report.as_markdown(self.found).splitlines()
        for before, line in zip(lines, lines[1:]):
            if before.startswith("|") and line.startswith("|"):
                self.assertEqual(line.count("|"), before.count("|"), line)

    def test_it_is_json(self):
        self.assertEqual(json.loads(json.dumps(self.found))["loads"]["a"]["proxies"]["haproxy"]["ratio"], [1, 1, 1])


class Charts(unittest.TestCase):
    def test_a_chart_is_one_document_with_every_figure_in_it(self):
        root = xml.fromstring(svg(found(bearward=[10.0], nginx=[20.0], haproxy=[1500.0])))
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        for text in ("200 B, 64 connections", "10.0 µs", "20.0 µs", "1.50 ms", "HAProxy", "bearward"):
            self.assertIn(text, texts)

    def test_bars_are_as_long_as_what_they_stand_for(self):
        root = xml.fromstring(svg(found(bearward=[10.0], nginx=[20.0])))
        ours, theirs = [path.get("d") for path in root.iter("{http://www.w3.org/2000/svg}path")]
        length = [float(path.partition("h")[2].partition("v")[0]) for path in (ours, theirs)]
        self.assertAlmostEqual(length[1] / length[0], 2, places=2)

    def test_it_is_for_light_and_dark_pages_and_needs_nothing_from_elsewhere(self):
        text = svg(found(bearward=[10.0], nginx=[20.0]))
        self.assertIn("prefers-color-scheme: dark", text)
        self.assertEqual(text.count("http"), 1, "its namespace is the only address")


class Loads(unittest.TestCase):
    def test_every_goal_is_of_a_load_and_a_peer_that_has_it(self):
        for key, goals in GOALS.items():
            self.assertEqual(set(goals), set(LOADS[key].peers) - {OURS}, key)

    def test_what_a_load_is_compared_with_comes_along(self):
        self.assertEqual([load.key for load in chosen(["f", "j"])], ["a", "f", "j", "j0"])
        with self.assertRaisesRegex(ValueError, "no load 'z'"):
            chosen(["z"])

    def test_ours_is_in_every_load(self):
        for load in LOADS.values():
            self.assertEqual(load.peers[0], OURS)
            self.assertLessEqual(set(load.peers), set(PEERS))


if __name__ == "__main__":
    unittest.main()
