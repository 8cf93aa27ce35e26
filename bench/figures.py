"""Arithmetic of what was measured. Knows numbers only."""


def quantile(values, share):
    """Linear between the two nearest ranks, as `numpy.quantile` does by default."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    at = (len(ordered) - 1) * share
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def median(values):
    return quantile(values, 0.5)


def quartiles(values):
    """The first quartile, the median and the third one."""
    return tuple(quantile(values, share) for share in (0.25, 0.5, 0.75))


def ratios(theirs, ours):
    """Theirs over ours within each round that has both: rounds differ by what else the machine does. Both are {round: figure}."""
    return [theirs[number] / ours[number] for number in sorted(theirs) if number in ours]
