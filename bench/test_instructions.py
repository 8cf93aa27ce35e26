"""What the gate lets through and what it does not: `python3 -m unittest discover bench`."""

import contextlib
import importlib.machinery
import importlib.util
import io
import socket
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

import instructions_load
import instructions_record
from instructions_load import ANSWER_CONTENT, CONNECTIONS, LOADS, TOKEN, Application, Origin, WrongAnswer
from instructions_profile import Profile, report

# The command itself: a file without a suffix.
LOADER = importlib.machinery.SourceFileLoader("instructions", str(Path(__file__).parent / "instructions"))
instructions = importlib.util.module_from_spec(importlib.util.spec_from_loader("instructions", LOADER))
LOADER.exec_module(instructions)

HERE = "rustc 1.95.0 x86_64-unknown-linux-gnu"


def wrong(change, recorded=40_000):
    """What the gate says of a figure that differs by this share."""
    record = {"toolchain": HERE, "instructions": {"a": recorded}}
    return instructions_record.compare(record, HERE, {"a": recorded * (1 + change)})[1]


class TheRecord(unittest.TestCase):
    def test_a_figure_3_1_percent_higher_fails_and_says_how_much_and_where_to_look(self):
        (message,) = wrong(+0.031)
        self.assertIn("a costs 1,240 instructions more per request (+3.1%", message)
        self.assertIn("bench/instructions --profile a", message)

    def test_a_figure_2_9_percent_higher_passes(self):
        self.assertEqual(wrong(+0.029), [])

    def test_a_figure_3_1_percent_lower_wants_to_be_recorded(self):
        (message,) = wrong(-0.031)
        self.assertIn("1,240 instructions less", message)
        self.assertIn("bench/instructions --record", message)

    def test_a_figure_2_9_percent_lower_passes(self):
        self.assertEqual(wrong(-0.029), [])

    def test_a_load_without_a_record_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            record = instructions_record.read(Path(folder) / "instructions.json")
        _, (message,) = instructions_record.compare(record, HERE, {"a": 40_000})
        self.assertIn("a has no recorded figure", message)

    def test_a_record_without_a_load_fails(self):
        _, (message,) = instructions_record.compare(
            {"toolchain": HERE, "instructions": {"a": 1, "z": 1}}, HERE, {"a": 1}
        )
        self.assertIn("z is recorded and was not measured", message)

    def test_another_compiler_is_compared_all_the_same_and_named(self):
        record = {"toolchain": HERE, "instructions": {"a": 1000}}
        lines, wrong = instructions_record.compare(record, "rustc 2.0.0", {"a": 1031})
        self.assertIn(f"recorded with {HERE}, counted with rustc 2.0.0", lines[-1])
        self.assertEqual(len(wrong), 1)
        self.assertEqual(len(instructions_record.compare(record, HERE, {"a": 1031})[0]), 1)

    def test_what_was_written_is_what_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "instructions.json"
            instructions_record.write(file, HERE, {"a": 40_000.4, "c": 50_000.6})
            self.assertEqual(
                instructions_record.read(file), {"toolchain": HERE, "instructions": {"a": 40_000, "c": 50_001}}
            )


class TheCommand(unittest.TestCase):
    """With figures that are made up, for a real measurement takes a build; `.ci/run` makes one."""

    def ended(self, *figures, recorded=40_000, words=()):
        counts = [each if isinstance(each, Exception) else dict.fromkeys(LOADS, (each, None)) for each in figures]
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as replaced:
            record = Path(folder) / "instructions.json"
            if recorded:
                instructions_record.write(record, HERE, dict.fromkeys(LOADS, recorded))
            for name, value in {
                "RECORD": record,
                "count": mock.Mock(side_effect=counts),
                "toolchain": lambda: HERE,
            }.items():
                replaced.enter_context(mock.patch.object(instructions, name, value))
            replaced.enter_context(mock.patch("shutil.which", return_value="there"))
            replaced.enter_context(mock.patch("sys.argv", ["instructions", "--binary", "bearward", *words]))
            self.out = replaced.enter_context(contextlib.redirect_stdout(io.StringIO()))
            self.err = replaced.enter_context(contextlib.redirect_stderr(io.StringIO()))
            status = instructions.main()
            self.record = instructions_record.read(record)["instructions"]
            return status

    def test_it_fails_where_a_figure_rose_and_names_every_load_that_did(self):
        self.assertEqual(self.ended(40_000 * 1.031), 1)
        self.assertEqual([line[0] for line in self.err.getvalue().splitlines()], ["a", "c", "f"])

    def test_it_passes_within_the_tolerance_and_prints_the_figures(self):
        self.assertEqual(self.ended(40_000 * 1.029), 0)
        self.assertIn("a      41,160  recorded     40,000   +2.90%", self.out.getvalue())
        self.assertEqual(self.err.getvalue(), "")

    def test_it_fails_where_nothing_is_recorded(self):
        self.assertEqual(self.ended(40_000, recorded=None), 1)

    def test_it_fails_where_nothing_could_be_measured(self):
        self.assertEqual(self.ended(instructions.CannotMeasure("a: status 502 instead of 200")), 2)
        self.assertIn("not measured: a: status 502 instead of 200", self.err.getvalue())

    def test_recording_writes_the_middle_of_three_runs(self):
        self.assertEqual(self.ended(50_100, 49_000, 50_000, words=["--record"]), 0)
        self.assertEqual(self.record, dict.fromkeys(LOADS, 50_000))

    def test_without_recording_nothing_is_written(self):
        self.ended(50_000)
        self.assertEqual(self.record, dict.fromkeys(LOADS, 40_000))


class AnAnswer(unittest.TestCase):
    def test_a_right_one_is_counted(self):
        exchanged(OK)

    def test_another_status_is_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "status 502 instead of 200"):
            exchanged(OK.replace(b"200 OK", b"502 Bad Gateway"))

    def test_a_shorter_body_is_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "a body of 199 octets"):
            exchanged(OK.replace(b"Length: 200", b"Length: 199")[:-1])

    def test_other_octets_are_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "is not the 200"):
            exchanged(OK[:-1] + b"b")

    def test_a_body_that_breaks_off_is_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "after 199 of 200"):
            exchanged(OK[:-1], then_close=True)

    def test_an_answer_without_a_length_is_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "without Content-Length"):
            exchanged(OK.replace(b"Content-Length", b"Content-Width"))

    def test_an_end_instead_of_an_answer_is_no_measurement(self):
        with self.assertRaisesRegex(WrongAnswer, "ended without an answer"):
            exchanged(b"", then_close=True)


class TheOrigin(unittest.TestCase):
    def test_it_answers_what_carries_the_token_and_refuses_the_rest(self):
        for load in LOADS.values():
            request = load.request("api")
            with_token = request.replace(b"\r\n", f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode(), 1)
            self.assertEqual(asked(with_token), ("200", ANSWER_CONTENT))
            self.assertEqual(asked(request)[0], "401")

    def test_a_body_that_arrived_shorter_or_not_at_all_is_refused(self):
        request = LOADS["c"].request("api").replace(b"\r\n", f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode(), 1)
        self.assertEqual(asked(request.replace(b"Length: 1024", b"Length: 1023")[:-1])[0], "400")
        self.assertEqual(asked(request.replace(b"Length: 1024", b"Length: 0")[:-1024])[0], "400")


class AProfile(unittest.TestCase):
    def test_it_says_whose_code_it_is_who_calls_it_and_on_which_line(self):
        profile = Profile(CALLGRIND)
        self.assertEqual(profile.total, 150)
        self.assertEqual(dict(profile.own), {"bearward::serve": 100, "tokio::poll": 50})
        self.assertEqual(profile.inclusive(), {"bearward::serve": 150, "tokio::poll": 50})
        self.assertEqual(dict(profile.crates()), {"bearward": 60, "bytes": 40, "tokio": 50})
        self.assertEqual(dict(profile.files("bearward")), {"src/proxy/exchange.rs": 60})
        self.assertEqual(profile.system_calls["tokio::poll"], 6)
        self.assertEqual(profile.lines["/bearward/src/proxy/exchange.rs", 11], 40)
        self.assertIn("        25     5.00 x  bearward::serve", report(profile, 2, rows=5, callers_of="^tokio::poll$"))

    def test_what_calls_itself_is_not_counted_twice(self):
        profile = Profile("fn=(1) walk\n1 10\ncfn=(1)\ncalls=3 1\n1 90\nfn=(2) main\n1 5\ncfn=(1)\ncalls=1 1\n5 100\n")
        profile.own["other"] = 1000
        self.assertEqual(profile.inclusive()["walk"], 10)


CALLGRIND = """\
events: Ir sysCount sysTime
fl=(1) /bearward/src/proxy/exchange.rs
fn=(1) bearward::serve::h0123456789abcdef
10 20
+1 40
fi=(2) /cargo/index.crates.io-1949cf8c6b5b557f/bytes-1.12.1/src/bytes.rs
7 40
fe=(1)
cfi=(3) /cargo/index.crates.io-1949cf8c6b5b557f/tokio-1.54.0/src/runtime/task.rs
cfn=(2) tokio::poll'2
calls=10 5
-4 50

fl=(3)
fn=(2)
* 48
* 2 6 100
totals: 150 6 100
"""

OK = instructions_load._head("HTTP/1.1 200 OK", instructions_load.ANSWER_FIELDS) + ANSWER_CONTENT


def exchanged(answer, then_close=False):
    """One round of requests to a server that answers each of them with these octets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=(listener, answer, then_close))
        server.start()
        try:
            with Application(listener.getsockname(), LOADS["a"]) as application:
                application.exchange(CONNECTIONS)
        finally:
            server.join()


def serve(listener, answer, then_close):
    with contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(listener.accept()[0]) for _ in range(CONNECTIONS)]
        for stream in streams:
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += stream.recv(65536)
            stream.sendall(answer)
        # Else they stand until the application has had enough, which may be in the middle of an answer.
        with contextlib.suppress(ConnectionResetError):
            while not then_close and streams[-1].recv(65536):
                pass


def asked(request):
    with tempfile.TemporaryDirectory() as folder, Origin(folder) as origin:
        stream = socket.create_connection(("127.0.0.1", origin.port("plain")), timeout=20)
        connection = instructions_load._Connection(stream)
        connection.send(request)
        answer = connection.answer()
        connection.close()
        return answer


if __name__ == "__main__":
    unittest.main()
