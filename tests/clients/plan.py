"""What all clients have in common: a plan is read from stdin, results go to stdout as JSON.

A plan says through what (`proxy`, `ca`, `version`) and which `steps`: each has a `url`, perhaps a `unix` socket, and is a
request, a stream of `events` or a `websocket`. `environment`: the settings are taken from the environment alone.
"""

import hashlib
import json
import sys

LENGTH = 16 * 1024


def octets(step):
    """The content of a step that is streamed: parts whose number and sizes nobody is told before."""
    left = step["content"]["length"]
    while left > 0:
        part = bytes(at % 251 for at in range(min(LENGTH, left)))
        left -= len(part)
        yield part


def content(step):
    """The content of a step whose length is known, as octets; None where there is none or it is streamed."""
    given = step.get("content") or {}
    return given["text"].encode() if "text" in given else None


def is_streamed(step):
    return "length" in (step.get("content") or {})


def result(status, fields, octets, **more):
    """What was seen of an answer. Content that is no text shows as its hash."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        text = "sha256 " + hashlib.sha256(octets).hexdigest()
    fields = [[name.lower(), value] for name, value in fields]
    return {"status": status, "fields": fields, "content": text, **more}


def run(perform):
    """Performs each step of the plan. What goes wrong in one is its result."""
    plan = json.load(sys.stdin)
    results = perform(plan)
    json.dump(results, sys.stdout)


def each(plan, perform_one):
    results = {}
    for step in plan["steps"]:
        try:
            results[step["name"]] = perform_one(step)
        except Exception as error:  # whatever it is, the test shows it
            results[step["name"]] = {"error": f"{type(error).__name__}: {error}"}
    return results
