"""curl does what a plan says, one run for each step."""

import subprocess
import tempfile

import plan as plans

VERSIONS = {"1.0": "--http1.0", "1.1": "--http1.1", "2": "--http2", "2 at once": "--http2-prior-knowledge"}
SEEN = "\n%{http_version}"


def command(plan, step):
    # `--disable`: nothing of this machine's settings.
    line = ["curl", "--disable", "--silent", "--show-error", "--max-time", "60", "--globoff", VERSIONS[plan["version"]]]
    if step["method"] == "HEAD":
        line += ["--head"]
    else:
        line += ["--request", step["method"]]
    for name, value in step.get("fields") or []:
        line += ["--header", f"{name}: {value}"]
    if plan.get("authorization"):
        line += ["--header", f"authorization: {plan['authorization']}"]
    if step.get("unix"):
        line += ["--unix-socket", step["unix"]]
    if plan.get("ca"):
        line += ["--cacert", plan["ca"]]
    if plan.get("proxy"):
        line += ["--proxy", plan["proxy"], "--noproxy", "", "--suppress-connect-headers"]
        if plan.get("tunnel"):
            line += ["--proxytunnel"]
    if (text := plans.content(step)) is not None:
        line += ["--data-binary", text.decode()]
    elif plans.is_streamed(step):
        # The length of stdin is not known to curl: it is sent in chunks.
        line += ["--upload-file", "-"]
    return line


def one(plan, step):
    if step["kind"] == "events":
        return events(plan, step)
    if step["kind"] == "reuse":
        return reuse(plan, step)
    with tempfile.NamedTemporaryFile("r") as heads:
        line = command(plan, step) + ["--dump-header", heads.name, "--write-out", SEEN]
        # HEAD shows the head where the content would be.
        line += ["--output", "/dev/null"] if step["method"] == "HEAD" else []
        streamed = b"".join(plans.octets(step)) if plans.is_streamed(step) else b""
        ended = subprocess.run([*line, step["url"]], input=streamed, capture_output=True, check=False)
        head = heads.read()
    if ended.returncode:
        return {"error": f"curl {ended.returncode}: {ended.stderr.decode().strip()}", "head": head}
    content, _, seen = ended.stdout.rpartition(b"\n")
    version = seen.decode()
    status, fields, trailers, interim = read_heads(head)
    return plans.result(status, fields, content, version=version, trailers=trailers, interim=interim)


def reuse(plan, step):
    line = command(plan, step) + ["--write-out", "%{stderr}%{num_connects}\n"]
    for _ in range(3):
        line += ["--output", "/dev/null", step["url"]]
    ended = subprocess.run(line, capture_output=True, text=True, check=True)
    return {"connections": sum(int(connects) for connects in ended.stderr.split())}


def read_heads(text):
    """The last final head of a dump, its trailers, and the interim statuses before it."""
    blocks = [block.split("\n") for block in text.replace("\r\n", "\n").split("\n\n") if block.strip()]
    interim = []
    status, fields, trailers = 0, [], []
    for block in blocks:
        if block[0].startswith("HTTP/"):
            status = int(block[0].split()[1])
            if status < 200:
                interim.append(status)
            fields, trailers = pairs(block[1:]), []
        else:
            trailers = pairs(block)
    return status, fields, trailers, interim


def pairs(lines):
    parted = (line.split(":", 1) for line in lines if ":" in line)
    return [(name.strip().lower(), value.strip()) for name, value in parted]


def events(plan, step):
    line = command(plan, step) + ["--no-buffer", "--output", "-", "--write-out", "%{http_code}", step["url"]]
    seen = []
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as running:
        for said in running.stdout:
            if said.startswith("data:"):
                seen.append(said.strip())
                heard = {"method": "POST", "kind": "request", "unix": step.get("unix")}
                subprocess.run([*command(plan, heard), step["heard"]], capture_output=True, check=True)
            elif said.strip():
                status = int(said)
    return {"status": status, "events": seen}


plans.run(lambda plan: plans.each(plan, lambda step: one(plan, step)))
