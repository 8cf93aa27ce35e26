"""What is asked of the proxies, and what bearward shall reach. Knows no proxy's configuration."""

from dataclasses import dataclass

SMALL, MEDIUM, LARGE = 200, 64 * 1024, 10 * 1024 * 1024
POSTED = 1024
UPSTREAMS = 1000
SUBJECTS = 10_000

# The columns of all tables. Ours comes first.
OURS = "bearward"
PEERS = (OURS, "nginx", "haproxy", "envoy")


@dataclass(frozen=True)
class Load:
    """One row. `setup` names the listener of a proxy that it is sent to, `than` the load of ours it is compared with."""

    key: str
    name: str
    setup: str = "plain"
    target: str = "/small"
    length: int = SMALL
    connections: int = 64
    options: tuple = ()
    warm_answers: int = 0
    peers: tuple = PEERS
    than: str = ""


LOADS = {
    load.key: load
    for load in (
        Load("a", "200 B, 64 connections"),
        Load("b", "200 B, one connection", connections=1),
        Load("c", "POST 1 KiB", target="/post", options=("--post", str(POSTED))),
        Load("d", "64 KiB", target="/medium", length=MEDIUM),
        Load("e", "10 MiB, 8 connections", setup="large", target="/large", length=LARGE, connections=8),
        Load("f", "200 B, TLS upstream", setup="tls"),
        Load("g", "200 B, HTTP/2 over TLS upstream", setup="h2", peers=(OURS, "haproxy", "envoy")),
        Load("h", "200 B, a connection per request", options=("--close",)),
        Load(
            "i",
            "gateway, 1,000 upstreams in turn",
            setup="gateway",
            target="/u{}/small",
            options=("--numbers", str(UPSTREAMS)),
            warm_answers=2 * UPSTREAMS,
            peers=(OURS, "nginx"),
            than="a",
        ),
        Load(
            "i1",
            "gateway, one of 1,000 upstreams",
            setup="gateway",
            target=f"/u{UPSTREAMS // 2}/small",
            peers=(OURS, "nginx"),
            than="a",
        ),
        Load(
            "j",
            "10,000 subjects in turn, a token each",
            setup="subjects",
            target="/subjects/{}",
            options=("--numbers", str(SUBJECTS), "--field", "X-Bearward-Subject: {}"),
            warm_answers=2 * SUBJECTS,
            peers=(OURS,),
            than="j0",
        ),
        Load(
            "j0",
            "as j with one token: the field passes",
            setup="plain",
            target="/numbered/{}",
            options=("--numbers", str(SUBJECTS), "--field", "X-Numbered-Subject: {}"),
            peers=(OURS,),
            than="a",
        ),
    )
}

# Peer's CPU per request over ours, at least.
GOALS = {
    "a": {"nginx": 1.5, "haproxy": 1.35, "envoy": 5},
    "b": {"nginx": 1.15, "haproxy": 1.35, "envoy": 2.4},
    "c": {"nginx": 1.5, "haproxy": 1.3, "envoy": 5},
    "d": {"nginx": 1.5, "haproxy": 1.8, "envoy": 4},
    "e": {"nginx": 1.6, "haproxy": 3, "envoy": 2},
    "f": {"nginx": 1.65, "haproxy": 1.5, "envoy": 4},
    "g": {"haproxy": 1.3, "envoy": 4},
    "h": {"nginx": 1.05, "haproxy": 1.05, "envoy": 3},
}
# Of what ours is compared with: CPU per request at most, as a ratio.
WITHIN = {"i": 1.05, "i1": 1.05, "j": 1.05}
START_MS = 10
RESIDENT_MIB = {64: 4, 1000: 20}
BINARY_MB = 12


def chosen(keys):
    """The loads of a list like `a,f`; whatever one of them is compared with comes along."""
    wanted = []
    for key in keys:
        if key not in LOADS:
            raise ValueError(f"no load {key!r}; there are {', '.join(LOADS)}")
        for one in (key, LOADS[key].than, LOADS.get(LOADS[key].than, LOADS[key]).than):
            if one and one not in wanted:
                wanted.append(one)
    return [LOADS[key] for key in LOADS if key in wanted]
