"""The origin notices what a proxy left out. It is a real nginx; where there is none, these tests are left out."""

import http.client
import os
import shutil
import ssl
import tempfile
import unittest
from unittest import mock

import provide
from listeners import Crowded
from origin import BASIC, TOKEN, Origin
from processes import Failed

NGINX = shutil.which("nginx", path=provide.PATH)


@unittest.skipUnless(NGINX and shutil.which("openssl"), "left out: no nginx or no openssl")
class RealOrigin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.origin = Origin(NGINX, folder.name, max(os.sched_getaffinity(0)), 1024)
        cls.addClassCleanup(cls.origin.process.end)
        cls.origin.wait()

    def ask(self, target, authorization=f"Bearer {TOKEN}", method="GET", body=None, **fields):
        connection = http.client.HTTPConnection("127.0.0.1", self.origin.ports["plain"], timeout=5)
        self.addCleanup(connection.close)
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        if authorization:
            fields["Authorization"] = authorization
        connection.request(method, target, body, fields)
        answer = connection.getresponse()
        return answer.status, len(answer.read())

    def test_what_is_right_has_its_length(self):
        self.assertEqual(self.ask("/small"), (200, 200))
        self.assertEqual(self.ask("/medium"), (200, 65536))
        self.assertEqual(self.ask("/large"), (200, 10485760))
        self.assertEqual(self.ask("/post", method="POST", body=b"p" * 1024), (200, 200))
        self.assertEqual(self.ask("/subjects/7", f"Bearer {TOKEN}-7"), (200, 200))
        self.assertEqual(self.ask("/numbered/7", X_Numbered_Subject="7"), (200, 200))

    def test_a_proxy_that_injects_nothing_is_refused(self):
        for target in ("/small", "/medium", "/large", "/subjects/7", "/numbered/7"):
            for authorization in (None, "Bearer other", TOKEN, f"Bearer {TOKEN} "[:-2]):
                self.assertEqual(self.ask(target, authorization)[0], 401, (target, authorization))
        self.assertEqual(self.ask("/post", None, "POST", b"p" * 1024)[0], 401)

    def test_a_request_that_is_not_what_was_sent_is_refused(self):
        self.assertEqual(self.ask("/post", method="POST", body=b"p" * 1023)[0], 400)
        self.assertEqual(self.ask("/post")[0], 400)
        self.assertEqual(self.ask("/subjects/7", f"Bearer {TOKEN}-8")[0], 401)
        self.assertEqual(self.ask("/subjects/7", f"Bearer {TOKEN}-7", X_Bearward_Subject="7")[0], 400)
        self.assertEqual(self.ask("/numbered/7")[0], 400)

    def test_each_port_speaks_the_protocol_that_its_load_is_for(self):
        context = ssl.create_default_context(cafile=self.origin.ca)
        for setup, status in (("tls", 200), ("h2", 400)):
            connection = http.client.HTTPSConnection("localhost", self.origin.ports[setup], timeout=5, context=context)
            self.addCleanup(connection.close)
            connection.request("GET", "/small", headers={"Authorization": f"Bearer {TOKEN}"})
            self.assertEqual(connection.getresponse().status, status, setup)

    def test_tokens_are_for_the_client_and_for_whom_it_may_ask(self):
        self.assertEqual(self.ask("/token", f"Basic {BASIC}", "POST")[0], 200)
        self.assertEqual(self.ask("/token", None, "POST")[0], 401)
        self.assertEqual(self.ask("/token/7", method="POST")[0], 200)
        self.assertEqual(self.ask("/token/7", None, "POST")[0], 401)

    def test_every_request_is_counted(self):
        before = self.origin.requests()
        for _ in range(3):
            self.ask("/small")
        self.ask("/small", None)
        self.assertEqual(self.origin.requests() - before - 1, 4)

    def test_a_second_listener_on_one_of_its_ports_is_found(self):
        self.origin.require_alone()
        with mock.patch("listeners.listening", return_value={1: 0, 2: 0}), self.assertRaises(Crowded):
            self.origin.require_alone()


@unittest.skipUnless(NGINX, "left out: no nginx")
class Processes(unittest.TestCase):
    def test_a_worker_counts_and_ends_with_its_master(self):
        with tempfile.TemporaryDirectory() as folder:
            origin = Origin(NGINX, folder, max(os.sched_getaffinity(0)), 1024)
            try:
                origin.wait()
                ids = origin.process.ids()
                self.assertEqual(len(ids), 2, "a master and a worker")
                self.assertGreater(origin.process.cpu(), 0)
                self.assertGreater(origin.process.resident(), 1 << 20)
            finally:
                origin.process.end()
            for pid in ids:
                self.assertFalse(os.path.exists(f"/proc/{pid}/fd/0"), pid)
            with self.assertRaisesRegex(Failed, "the origin ended"):
                origin.process.require_running()


if __name__ == "__main__":
    unittest.main()
