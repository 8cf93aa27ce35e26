"""Compares figures with the recorded ones.

Knows how much a figure may differ, and what is said when it differs more. Does not know how one is counted.
"""

import json

# Runs of one binary differ by far less, and so do builds of one source.
TOLERANCE = 0.03


def read(file):
    """What is recorded: the toolchain, and instructions per request by load."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"toolchain": None, "instructions": {}}


def write(file, toolchain, figures):
    instructions = {name: round(figure) for name, figure in figures.items()}
    file.write_text(
        json.dumps({"toolchain": toolchain, "instructions": instructions}, indent=2) + "\n", encoding="utf-8"
    )


def compare(recorded, toolchain, figures):
    """A line for every load, and what is wrong: nothing where all figures are the recorded ones within the tolerance."""
    lines, wrong = [], []
    for name, figure in figures.items():
        before = recorded["instructions"].get(name)
        if before is None:
            lines.append(f"{name}  {figure:10,.0f}  not recorded")
            wrong.append(
                f"{name} has no recorded figure: `bench/instructions --record` writes it to bench/instructions.json"
            )
            continue
        change = figure / before - 1
        lines.append(f"{name}  {figure:10,.0f}  recorded {before:10,.0f}  {change:+7.2%}")
        if change > TOLERANCE:
            wrong.append(
                f"{name} costs {figure - before:,.0f} instructions more per request ({change:+.1%}, {TOLERANCE:.0%} are allowed)."
                f" `bench/instructions --profile {name}` says where they go; "
                "if they are worth it, record them with `bench/instructions --record`, and say why in the commit"
            )
        elif change < -TOLERANCE:
            wrong.append(
                f"{name} costs {before - figure:,.0f} instructions less per request ({change:+.1%}). "
                "Record that with `bench/instructions --record`: until then it could be lost again unnoticed"
            )
    for name in recorded["instructions"].keys() - figures.keys():
        wrong.append(f"{name} is recorded and was not measured")
    if recorded["toolchain"] not in (None, toolchain):
        lines.append(
            f"recorded with {recorded['toolchain']}, counted with {toolchain}: another compiler alone makes other figures"
        )
    return lines, wrong
