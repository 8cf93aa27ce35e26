"""The arithmetic, and what is read from the kernel's and nginx's texts."""

import unittest

from figures import median, quantile, quartiles, ratios
from origin import requests_of
from processes import Cores, memory, numbers, run_time


class Quartiles(unittest.TestCase):
    def test_they_lie_between_the_nearest_ranks(self):
        self.assertEqual(quartiles([4, 1, 3, 2]), (1.75, 2.5, 3.25))
        self.assertEqual(quartiles([1, 2, 3, 4, 100]), (2, 3, 4))
        self.assertEqual(quartiles([7]), (7, 7, 7))

    def test_a_median_of_an_even_number_is_the_middle_of_two(self):
        self.assertEqual(median([10, 1, 2, 3]), 2.5)

    def test_the_ends_are_the_smallest_and_the_largest(self):
        self.assertEqual((quantile([3, 1, 2], 0), quantile([3, 1, 2], 1)), (1, 3))

    def test_of_nothing_there_is_none(self):
        with self.assertRaises(ValueError):
            median([])

    def test_ratios_are_formed_within_one_round(self):
        theirs, ours = {0: 30, 1: 60, 2: 90}, {0: 10, 1: 30, 3: 1}
        self.assertEqual(ratios(theirs, ours), [3, 2])


class Kernel(unittest.TestCase):
    def test_run_time_is_the_first_of_three_figures(self):
        self.assertEqual(run_time("1234567890 55 9\n"), 1234567890)
        for text in ("", "12 13", "0 0 0 0", "a b c"):
            with self.assertRaises(ValueError):
                run_time(text)

    def test_resident_and_private_memory_are_told_apart(self):
        text = (
            "55-66 ---p 00000000 00:00 0  [rollup]\nRss:  120 kB\nPss: 70 kB\nShared_Clean: 90 kB\nPrivate_Clean: 10 kB\n"
            "Private_Dirty: 20 kB\n"
        )
        self.assertEqual(memory(text), (120 * 1024, 30 * 1024))
        self.assertEqual(memory("VmRSS:\t  500 kB\nRssAnon:\t 90 kB\n"), (500 * 1024, 90 * 1024))
        with self.assertRaises(ValueError):
            memory("VmSize: 1 kB\n")

    def test_lists_of_processors(self):
        self.assertEqual(numbers("0,2-4\n"), {0, 2, 3, 4})


class ChoiceOfCores(unittest.TestCase):
    @staticmethod
    def chosen(available, pairs=()):
        cores = Cores(available, lambda core: next(({*pair} for pair in pairs if core in pair), {core}))
        return cores.proxy, cores.origin, cores.load

    def test_the_proxy_is_alone_on_its_core(self):
        self.assertEqual(self.chosen([0, 1, 2, 3]), (3, 2, {0, 1}))
        self.assertEqual(self.chosen([4, 5]), (5, 4, {4}))

    def test_the_other_thread_of_the_proxys_core_stays_idle(self):
        self.assertEqual(self.chosen([0, 1, 2, 3], [(0, 2), (1, 3)]), (3, 2, {0}))

    def test_one_core_is_for_all_and_says_so(self):
        self.assertEqual(self.chosen([0]), (0, 0, {0}))
        self.assertIn("distorted", str(Cores([0], lambda core: {core})))


class Origin(unittest.TestCase):
    def test_requests_are_the_third_counter(self):
        text = (
            "Active connections: 3 \nserver accepts handled requests\n 11 12 4711 \nReading: 0 Writing: 1 Waiting: 2 \n"
        )
        self.assertEqual(requests_of(text), 4711)


if __name__ == "__main__":
    unittest.main()
