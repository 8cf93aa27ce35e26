"""A chart of the CPU time per request, as SVG by hand: readable on light and dark pages, without anything from elsewhere."""

from html import escape

from loads import GOALS, OURS, PEERS

WIDTH, COLUMNS, MARGIN, GAP = 860, 2, 16, 36
TOP, TITLE, BAR, STEP, BETWEEN = 58, 20, 11, 16, 18
NAME, VALUE = 72, 72
TITLES = {"haproxy": "HAProxy", "envoy": "Envoy"}

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #57606a }
.h { font-size: 15px; font-weight: 600; fill: #1f2328 }
.l { font-weight: 600; fill: #1f2328 }
.v { font-variant-numeric: tabular-nums }
.o, text.o { fill: #0b6bcb } text.o { font-weight: 600 }
.p { fill: #b6bfc9 }
@media (prefers-color-scheme: dark) {
text { fill: #9198a1 } .h, .l { fill: #f0f6fc } .o, text.o { fill: #58a6ff } .p { fill: #4d5661 }
}"""


def svg(found):
    """One group of bars for each load that peers have goals in; in each group, the longest bar is the costliest proxy."""
    groups = [load for key, load in found["loads"].items() if key in GOALS]
    across = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
    tall = TITLE + len(found["versions"]) * STEP + BETWEEN
    height = TOP + -(-len(groups) // COLUMNS) * tall
    title = "CPU time per request on one core; shorter is better"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        text(MARGIN, 26, title, "h"),
        text(MARGIN, 44, "Each group has its own scale. " + versions(found)),
    ]
    ours, theirs = [], []
    for place, load in enumerate(groups):
        left = MARGIN + place % COLUMNS * (across + GAP)
        top = TOP + place // COLUMNS * tall
        parts.append(text(left, top + 13, load["name"], "l"))
        most = max(row["cpu_us"] for row in load["proxies"].values())
        names = [name for name in PEERS if name in load["proxies"]]
        for line, name in enumerate(names):
            spent = load["proxies"][name]["cpu_us"]
            y = top + TITLE + line * STEP
            length = max((across - NAME - VALUE) * spent / most, 1)
            (ours if name == OURS else theirs).append(f"M{left + NAME:g} {y:g}h{length:.1f}v{BAR}h-{length:.1f}z")
            kind = "o" if name == OURS else ""
            parts.append(text(left, y + 10, TITLES.get(name, name), kind))
            parts.append(text(left + NAME + length + 6, y + 10, amount(spent), f"v {kind}".strip()))
    parts += [f'<path class="o" d="{"".join(ours)}"/>', f'<path class="p" d="{"".join(theirs)}"/>', "</svg>"]
    return "\n".join(parts) + "\n"


def text(x, y, content, kind=""):
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.4g}" y="{y:g}"{of_kind}>{escape(content)}</text>'


def amount(microseconds):
    return f"{microseconds / 1000:.2f} ms" if microseconds >= 1000 else f"{microseconds:.1f} µs"


def versions(found):
    return ", ".join(f"{TITLES.get(name, name)} {version}" for name, version in found["versions"].items())
