"""Two listeners on one port are found, however they share it."""

import os
import socket
import subprocess
import sys
import unittest
from unittest import mock

from listeners import Crowded, free_ports, held_by, listening, require_one

SERVER = """
import socket, sys
family, address = (socket.AF_INET6, "::1") if sys.argv[2] == "6" else (socket.AF_INET, "127.0.0.1")
listener = socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind((address, int(sys.argv[1])))
listener.listen()
print("listening", flush=True)
sys.stdin.read()
"""


class Listeners(unittest.TestCase):
    def setUp(self):
        self.listener = socket.socket()
        self.addCleanup(self.listener.close)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]

    def other(self, port, family="4"):
        """Another process that listens, too."""
        child = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(port), family], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.addCleanup(child.wait, 5)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.stdin.close)
        self.assertEqual(child.stdout.readline(), b"listening\n")
        return child.pid

    def test_one_listener_of_its_own_is_as_it_should_be(self):
        require_one(self.port, "this test", [os.getpid()])

    def test_a_second_one_of_another_process_is_found(self):
        other = self.other(self.port)
        for ids in ([os.getpid()], [other], [os.getpid(), other]):
            with self.assertRaisesRegex(Crowded, "2 sockets listen"):
                require_one(self.port, "this test", ids)

    def test_a_second_one_of_the_same_process_is_found(self):
        with socket.socket() as second:
            second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            second.bind(("127.0.0.1", self.port))
            second.listen()
            with self.assertRaisesRegex(Crowded, "2 sockets listen"):
                require_one(self.port, "this test", [os.getpid()])

    @unittest.skipUnless(socket.has_ipv6 and os.path.exists("/proc/net/tcp6"), "no IPv6 here")
    def test_a_second_one_on_ipv6_is_found(self):
        try:
            self.other(self.port, "6")
        except AssertionError:
            self.skipTest("no IPv6 loopback here")
        with self.assertRaisesRegex(Crowded, "2 sockets listen"):
            require_one(self.port, "this test", [os.getpid()])

    def test_somebody_elses_listener_is_not_taken_for_ours(self):
        [port] = free_ports(1)
        self.other(port)
        with self.assertRaisesRegex(Crowded, "somebody else's"):
            require_one(port, "this test", [os.getpid()])

    def test_of_a_process_that_cannot_be_looked_into_the_user_has_to_be_right(self):
        with mock.patch("listeners.held_by", side_effect=PermissionError):
            require_one(self.port, "this test", [os.getpid()])
            with (
                mock.patch("os.getuid", return_value=os.getuid() + 1),
                self.assertRaisesRegex(Crowded, "somebody else's"),
            ):
                require_one(self.port, "this test", [os.getpid()])

    def test_none_is_not_one(self):
        [port] = free_ports(1)
        with self.assertRaisesRegex(Crowded, "0 sockets listen"):
            require_one(port, "this test", [os.getpid()])

    def test_a_connection_is_no_listener(self):
        with socket.create_connection(("127.0.0.1", self.port)):
            accepted, _ = self.listener.accept()
            with accepted:
                self.assertEqual(len(listening(self.port)), 1)

    def test_only_ports_that_are_asked_for_count(self):
        with socket.create_server(("127.0.0.1", 0)):
            self.assertEqual(len(listening(self.port)), 1)
            self.assertEqual(len(listening(self.port).keys() & held_by([os.getpid()])), 1)


if __name__ == "__main__":
    unittest.main()
