"""What was measured, summed up and shown: as text, as Markdown, as JSON. Every figure is shown; a goal that is missed says so."""

import os
import platform

from figures import median, quartiles, ratios
from loads import BINARY_MB, GOALS, LOADS, OURS, PEERS, RESIDENT_MIB, START_MS, WITHIN

MIB = 1024 * 1024
# In these, a proxy is never without work.
SATURATED = ("a", "c", "d", "f", "g")


def summary(course, rounds, memory, starts, took):
    """All of it as one JSON value."""
    return {
        "machine": {"processor": processor(), "kernel": platform.release(), "cores": str(course.cores)},
        "versions": {name: peer.version for name, peer in course.peers.items()},
        "rounds": course.arguments.rounds,
        "seconds": course.arguments.seconds,
        "took_seconds": round(took, 1),
        "loads": {key: load_summary(LOADS[key], proxies, rounds) for key, proxies in rounds.items()},
        "resident_octets": memory,
        "start_seconds": {name: quartiles(values) for name, values in starts.items()},
        "binary_octets": {name: os.stat(peer.program).st_size for name, peer in course.peers.items()},
        "left_out": course.left_out,
        "mistakes": course.mistakes,
    }


def load_summary(load, proxies, rounds):
    """Per proxy the medians over the rounds, and the ratios that are formed within each."""
    result = {"name": load.name, "proxies": {}}
    ours = cpu(proxies.get(OURS, {}))
    for name, measured in proxies.items():
        if not measured:
            continue
        figures = list(measured.values())
        row = {
            key: median([figure[key] for figure in figures])
            for key in ("cpu_us", "busy", "per_second", "p50_us", "p99_us")
        }
        row["cpu_us_quartiles"] = quartiles([figure["cpu_us"] for figure in figures])
        row["answers"] = sum(figure["answers"] for figure in figures)
        formed = ratios(cpu(measured), ours)
        if name != OURS and formed:
            row["ratio"] = quartiles(formed)
            goal = GOALS.get(load.key, {}).get(name)
            if goal:
                row["goal"], row["met"] = goal, row["ratio"][1] >= goal
        before = cpu(rounds.get(load.than, {}).get(name, {}))
        if within := ratios(cpu(measured), before):
            row["than"], row["than_ratio"] = load.than, quartiles(within)
            if name == OURS and load.key in WITHIN:
                row["than_goal"], row["than_met"] = WITHIN[load.key], row["than_ratio"][1] <= WITHIN[load.key]
        result["proxies"][name] = row
    return result


def driver_summary(by_wrk):
    """{load and driver: {proxy: medians}}."""
    keys = ("cpu_us", "p50_us", "p99_us", "per_second")
    return {
        driven: {
            name: {key: median([figure[key] for figure in measured.values()]) for key in keys}
            for name, measured in proxies.items()
            if measured
        }
        for driven, proxies in by_wrk.items()
    }


def cpu(measured):
    return {number: figure["cpu_us"] for number, figure in measured.items()}


def processor():
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model")))
    except (OSError, StopIteration):
        return platform.machine()


def tables(found):
    """[(title, heading, rows)] of text cells."""
    proxies = [name for name in PEERS if name in found["versions"]]
    peers = [name for name in proxies if name != OURS]
    return [
        table
        for table in (
            cpu_table(found, proxies, peers),
            latency_table(found, proxies),
            comparison_table(found),
            process_table(found, proxies),
            driver_table(found, proxies),
        )
        if table[2]
    ]


def cpu_table(found, proxies, peers):
    heading = ["load", *proxies, *(f"{peer} / {OURS}" for peer in peers)]
    rows = []
    for key, load in found["loads"].items():
        of = load["proxies"]
        cells = [f"{key}  {load['name']}"]
        cells += [number(of[name]["cpu_us"]) if name in of else "–" for name in proxies]
        cells += [ratio(of.get(peer, {})) for peer in peers]
        rows.append(cells)
    return (
        "CPU µs per request (medians), and how much more a peer takes: median ratio [quartiles]",
        heading,
        rows,
    )


def ratio(row):
    if "ratio" not in row:
        return "–"
    low, middle, high = row["ratio"]
    text = f"{middle:.2f} [{low:.2f}–{high:.2f}]"
    return text + (f" goal {row['goal']:g} {met(row['met'])}" if "goal" in row else "")


def met(is_met):
    return "met" if is_met else "NOT MET"


def latency_table(found, proxies):
    rows = []
    for key, load in found["loads"].items():
        cells = [key]
        for name in proxies:
            row = load["proxies"].get(name)
            cells.append(
                "–"
                if row is None
                else f"{number(row['p50_us'])} / {number(row['p99_us'])}, "
                f"{row['per_second']:,.0f}/s, {row['busy'] * 100:.0f} %"
            )
        rows.append(cells)
    return (
        "Latency p50 / p99 in µs, requests per second, share of the proxy's core in use",
        ["load", *proxies],
        rows,
    )


def driver_table(found, proxies):
    rows = []
    for driven, of in found.get("by_wrk", {}).items():
        cells = [driven]
        for row in (of.get(name) for name in proxies):
            cells.append("–" if row is None else f"{number(row['cpu_us'])} µs, {row['per_second']:,.0f}/s")
        rows.append(cells)
    return "The same load by two drivers: CPU per request, requests per second", ["load", *proxies], rows


def comparison_table(found):
    rows = []
    for key, load in found["loads"].items():
        for name, row in load["proxies"].items():
            if "than" in row:
                low, middle, high = row["than_ratio"]
                goal = f"at most {row['than_goal']:g}: {met(row['than_met'])}" if "than_goal" in row else "–"
                ratio_text = f"{middle:.3f} [{low:.3f}–{high:.3f}]"
                rows.append([f"{key}  {load['name']}", name, row["than"], ratio_text, goal])
    title = "CPU per request compared with another load of the same proxy"
    return title, ["load", "proxy", "than", "ratio", "goal"], rows


def process_table(found, proxies):
    starts = found["start_seconds"]
    rows = []
    if any(found["resident_octets"].values()):
        for connections, goal in RESIDENT_MIB.items():
            cells = []
            for name in proxies:
                octets = found["resident_octets"].get(name, {}).get(connections)
                text = "–" if octets is None else f"{octets / MIB:.1f} MiB"
                cells.append(text + (f", goal < {goal}: {met(octets / MIB < goal)}" if octets and name == OURS else ""))
            rows.append([f"resident, {connections:,} active connections", *cells])
    if starts:
        rows.append(["start to first answer", *(started(starts.get(name), name == OURS) for name in proxies)])
        for name, values in starts.items():
            if name not in proxies:
                rows.append([f"the same: {name}", *(started(values, True) if one == OURS else "–" for one in proxies)])
    cells = []
    for name in proxies:
        size = found["binary_octets"][name] / 1e6
        cells.append(f"{size:.1f} MB" + (f", goal < {BINARY_MB}: {met(size < BINARY_MB)}" if name == OURS else ""))
    rows.append(["the binary", *cells])
    return "The processes", ["", *proxies], rows


def started(values, is_ours):
    if not values:
        return "–"
    low, middle, high = (value * 1e3 for value in values)
    return f"{middle:.1f} ms [{low:.1f}–{high:.1f}]" + (
        f", goal < {START_MS}: {met(middle < START_MS)}" if is_ours else ""
    )


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def circumstances(found):
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    machine = found["machine"]
    shares = [row["busy"] for key in SATURATED for row in found["loads"].get(key, {}).get("proxies", {}).values()]
    disturbed = []
    if shares and median(shares) < 0.85:
        had = f"{median(shares) * 100:.0f} % of their core"
        disturbed = [
            f"DISTURBED: the proxies had {had} in loads that fill it; something else ran there, or held them up"
        ]
    rounds = f"{found['rounds']} rounds of {found['seconds']:g} s for each load and proxy"
    return [
        f"{machine['processor']}, Linux {machine['kernel']}; {machine['cores']}",
        f"{versions}; {rounds}, {found['took_seconds']:.0f} s in all",
        *disturbed,
    ]


def as_text(found):
    lines = circumstances(found)
    for title, heading, rows in tables(found):
        widths = [max(len(row[column]) for row in [heading, *rows]) for column in range(len(heading))]
        lines += ["", title]
        lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [heading, *rows]]
    lines += [f"left out: {what}" for what in found["left_out"]]
    lines += [f"FAILED: {what}" for what in found["mistakes"]]
    return "\n".join(lines)


def as_markdown(found):
    lines = [f"{line}  " for line in circumstances(found)]
    for title, heading, rows in tables(found):
        lines += ["", f"{title}:", ""]
        lines += ["| " + " | ".join(row) + " |" for row in [heading, ["---"] * len(heading), *rows]]
    lines += [""] if found["left_out"] or found["mistakes"] else []
    lines += [f"- left out: {what}" for what in found["left_out"]]
    lines += [f"- FAILED: {what}" for what in found["mistakes"]]
    return "\n".join(lines)
