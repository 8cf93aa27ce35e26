"""Reads what callgrind wrote and says where the instructions of a request went.

Knows callgrind's format (the valgrind manual, "Callgrind Format Specification") and how a build's paths name crates. Does not
know how the file came to be.
"""

import re
from collections import defaultdict

# Where, the instructions, and where they were counted the system calls.
COST_LINE = re.compile(r"^(\+\d+|-\d+|\*|\d+) (\d+)(?: (\d+))?(?: \d+)*$")
NAME = re.compile(r"^\((\d+)\)(?: (.*))?$")
# /cargo/index.crates.io-1949cf8c6b5b557f/bytes-1.12.1/src/bytes.rs, /rust/deps/hashbrown-0.16.1/src/raw.rs
VERSIONED = r"/([a-z][\w-]*?)-\d+\.\d+\.\d+[^/]*/"
HASH = re.compile(r"(::h[0-9a-f]{16})?('\d+)?$")


class Profile:
    """Costs by function, by line of source, and by who called whom; system calls by the function that makes them."""

    def __init__(self, text):
        self.own = defaultdict(int)
        self.called = defaultdict(int)
        self.lines = defaultdict(int)
        self.system_calls = defaultdict(int)
        self.calls = defaultdict(int)
        self.by_caller = defaultdict(lambda: [0, 0])
        self._read(text)

    @property
    def total(self):
        return sum(self.own.values())

    def inclusive(self):
        """With what is called. A function that calls itself through others counts its inner turns twice."""
        return {name: min(self.own[name] + self.called[name], self.total) for name in {*self.own, *self.called}}

    def crates(self):
        sums = defaultdict(int)
        for (file, _), cost in self.lines.items():
            sums[crate(file)] += cost
        return sums

    def files(self, of):
        sums = defaultdict(int)
        for (file, _), cost in self.lines.items():
            if crate(file) == of:
                sums[shown(file)] += cost
        return sums

    def _read(self, text):
        names = {"file": {}, "fn": {}, "ob": {}}
        position = {"file": "???", "fn": "???"}
        callee, line, call = None, 0, None
        for row in text.splitlines():
            if cost := COST_LINE.match(row):
                line = _line(line, cost[1])
                if call is None:
                    self.own[position["fn"]] += int(cost[2])
                    self.lines[position["file"], line] += int(cost[2])
                    self.system_calls[position["fn"]] += int(cost[3] or 0)
                else:
                    self._call(position["fn"], callee, call, int(cost[2]))
                    call = None
                continue
            key, _, value = row.partition("=")
            if key in ("fl", "fi", "fe"):
                position["file"] = _named(names["file"], value)
            elif key == "fn":
                position["fn"] = function(_named(names["fn"], value))
            elif key == "cfn":
                callee = function(_named(names["fn"], value))
            elif key in ("cfi", "cfl"):
                _named(names["file"], value)
            elif key == "calls":
                call = int(value.split()[0])

    def _call(self, caller, callee, times, cost):
        self.calls[callee] += times
        self.by_caller[callee, caller][0] += times
        self.by_caller[callee, caller][1] += cost
        if callee != caller:
            self.called[caller] += cost


def _line(before, said):
    if said == "*":
        return before
    return before + int(said) if said[0] in "+-" else int(said)


def _named(known, value):
    number, name = NAME.match(value).groups()
    return known[number] if name is None else known.setdefault(number, name)


def function(name):
    """Without what differs from build to build: a symbol's hash, a recursion's number."""
    return HASH.sub("", name)


def crate(file):
    """Whose code a file is. What has no line numbers came compiled: the C library."""
    if found := re.search(r"/library/(core|alloc|std|compiler-builtins)/", file):
        return found[1]
    if found := re.search(VERSIONED, file):
        return found[1]
    return "bearward" if re.search(r"(^|/)src/", file) else "without line numbers"


def shown(file):
    """A file below its crate's folder."""
    found = re.search(rf"{VERSIONED}(.*)$|(?:^|/)((?:src|library)/.*)$", file)
    return (found[2] or found[3]) if found else file


def report(profile, requests, rows, callers_of=None):
    """The profile as text, per request."""
    if callers_of is not None:
        return _callers(profile, requests, callers_of, rows)
    table = _Table(profile.total, requests, rows)
    out = [f"{profile.total / requests:,.0f} instructions per request\n"]
    out += table.of("whose code it is, inlined or not", profile.crates())
    out += table.of("files of bearward", profile.files("bearward"))
    out += table.of("functions, by themselves (and how often a request calls them)", profile.own, profile.calls)
    out += table.of("functions, with what they call", profile.inclusive(), profile.calls)
    out += _system_calls(profile, requests, rows)
    lines = {f"{crate(file)} {shown(file)}:{line}": cost for (file, line), cost in profile.lines.items() if line}
    out += table.of("lines", lines)
    return "\n".join(out)


def _system_calls(profile, requests, rows):
    out = ["== system calls, readings of the clock among them (outside valgrind those are none)"]
    made = sorted(((times, name) for name, times in profile.system_calls.items() if times), reverse=True)
    return [*out, *(f"{times / requests:10.2f}  {short(name)}" for times, name in made[:rows]), ""]


class _Table:
    def __init__(self, total, requests, rows):
        self._total, self._requests, self._rows = total, requests, rows

    def of(self, title, costs, calls=None):
        out = [f"== {title}"]
        for name, cost in sorted(costs.items(), key=lambda item: (-item[1], item[0]))[: self._rows]:
            often = "" if calls is None else f"{calls[name] / self._requests:8.2f} x"
            out.append(f"{cost / self._requests:10,.0f} {cost / self._total:6.1%}{often}  {short(name)}")
        return [*out, ""]


def _callers(profile, requests, pattern, rows):
    wanted = re.compile(pattern)
    functions = sorted(
        {callee for callee, _ in profile.by_caller if wanted.search(callee)}, key=lambda name: -profile.calls[name]
    )
    if not functions:
        return f"nothing that was called is named like {pattern!r}"
    out = []
    for callee in functions[:rows]:
        out.append(
            f"== {short(callee)}: {profile.calls[callee] / requests:.2f} calls, itself {profile.own[callee] / requests:,.0f}"
        )
        by = [(caller, *sums) for (called, caller), sums in profile.by_caller.items() if called == callee]
        for caller, times, cost in sorted(by, key=lambda row: -row[2])[:rows]:
            out.append(f"{cost / requests:10,.0f} {times / requests:8.2f} x  {short(caller)}")
        out.append("")
    return "\n".join(out)


def short(name, width=150):
    return name if len(name) <= width else f"{name[: width - 60]} … {name[-57:]}"
