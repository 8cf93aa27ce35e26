"""What wrk prints is read as it is meant."""

import unittest

from processes import Failed
from wrk import printed

PRINTED = """\
Running 1s test @ http://127.0.0.1:8080/small
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.80ms    1.12ms  15.72ms   88.70%
    Req/Sec    35.04k     3.32k   42.21k    70.00%
  Latency Distribution
     50%    1.61ms
     75%    2.17ms
     90%    2.93ms
     99%  940.00us
  34881 requests in 1.00s, 12.11MB read
Requests/sec:  34871.93
Transfer/sec:     12.10MB
"""


class Printed(unittest.TestCase):
    def test_figures_are_read_with_their_units(self):
        self.assertEqual(
            printed(PRINTED), {"answers": 34881, "per_second": 34871.93, "p50_us": 1610.0, "p99_us": 940.0}
        )

    def test_what_wrk_found_wrong_is_a_failure(self):
        for line in ("  Non-2xx or 3xx responses: 3\n", "  Socket errors: connect 0, read 1, write 0, timeout 0\n"):
            with self.assertRaisesRegex(Failed, line.strip()[:12]):
                printed(PRINTED.replace("Requests/sec", line + "Requests/sec"))

    def test_anything_else_is_a_failure(self):
        for text in ("", "unable to connect to 127.0.0.1:8080 Connection refused\n", PRINTED.replace("99%", "98%")):
            with self.assertRaisesRegex(Failed, "wrk said"):
                printed(text)


if __name__ == "__main__":
    unittest.main()
