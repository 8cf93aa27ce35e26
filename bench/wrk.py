"""The same load driven by wrk, so that nobody has to trust our own load generator alone.

Knows wrk's options and what it prints. wrk neither checks the length of what comes nor waits for what is under way at its
end: requests are counted at the origin.
"""

import re
import subprocess
import time

from processes import Failed, Process

LOADS = ("a", "d")
FIELDS = ("User-Agent: bearward-bench/1", "Accept: */*")
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}
QUIET_SECONDS = 0.1


def driven_by_wrk(program, load, proxy, origin, generator, seconds):
    """Figures of one load on one proxy, an instance of which listens; raises where wrk saw anything wrong."""
    fields = [word for field in FIELDS for word in ("-H", field)]
    command = [program, "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--latency", *fields]
    command.append(f"http://127.0.0.1:{proxy.port}{load.target}")
    open(generator.log, "wb").close()
    requests = origin.requests()
    before = proxy.process.cpu()
    process = Process("wrk", command, generator.cores, generator.log)
    try:
        process.child.wait(60)
    except subprocess.TimeoutExpired as late:
        raise Failed("wrk does not end") from late
    finally:
        process.end()
    # What it cut off is still on its way.
    time.sleep(QUIET_SECONDS)
    spent = proxy.process.cpu() - before
    arrived = origin.requests() - requests - 1
    with open(generator.log, encoding="utf-8", errors="replace") as file:
        figures = printed(file.read())
    if not figures["answers"] <= arrived <= figures["answers"] + load.connections:
        raise Failed(f"wrk counted {figures['answers']} answers, and {arrived} requests were at the origin")
    return {**figures, "cpu_us": spent / 1e3 / arrived}


def printed(text):
    """What wrk printed, as figures."""
    wrong = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text)
    if wrong:
        raise Failed(f"wrk: {wrong[0]}")
    answers = re.search(r"^\s*(\d+) requests in ", text, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    p50, p99 = (re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)$", text, re.MULTILINE) for share in (50, 99))
    if not (answers and rate and p50 and p99):
        raise Failed(f"wrk said {text.strip()[-200:]!r}")
    figures = {"answers": int(answers[1]), "per_second": float(rate[1])}
    return {**figures, "p50_us": float(p50[1]) * UNITS[p50[2]], "p99_us": float(p99[1]) * UNITS[p99[2]]}
