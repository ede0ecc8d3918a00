"""Whether to believe what a source says: refused as a whole, mended and marked as substituted, never silently used."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from config.intensity import Basis, Kind
from drivers.feeds.series import Said

MOST_REFUSED = 0.2  # share of an answer that may be missing or wrong before none of it is believed
LONGEST_GAP_S = 3 * 1800  # bridged by a straight line; longer gaps stay gaps
DAY_S = 86_400


class Implausible(Exception):  # noqa: N818  the vocabulary of the field
    """The source answered, and what it said cannot be so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a quantity can be."""

    low: float
    high: float
    lone: float | None = None  # off both neighbours by more than this and alone is an error; None = jumps are real
    least_s: int = 0  # an answer that covers less is refused
    dark_for_ever: bool = False  # a whole day of nought cannot be: the sun rises
    bridged: bool = True  # short gaps may be filled; money is never made up


def judged(said: Said, limits: Limits) -> Said:
    """The answer with what is wrong substituted where that can be done honestly; raises Implausible."""
    values = [_in_range(value, limits) for value in said.values]
    count = len(values)
    if not any(value is not None for value in values):
        raise Implausible("no value that could be so")
    if sum(value is not None for value in values) * said.step_s < limits.least_s:
        raise Implausible(f"only {sum(value is not None for value in values)} values where more are wanted")
    if limits.dark_for_ever and _dark(values, said.step_s):
        raise Implausible("nought for a whole day")
    kinds = list(said.kinds)
    for n in _lone(values, limits.lone):
        values[n], kinds[n] = None, Kind.SUBSTITUTED
    refused = sum(value is None for value in values)
    if refused > MOST_REFUSED * count:
        raise Implausible(f"{refused} of {count} values are missing or cannot be so")
    if limits.bridged:
        for n, value in _bridges(values, LONGEST_GAP_S // said.step_s):
            values[n], kinds[n] = value, Kind.SUBSTITUTED
    return replace(said, values=tuple(values), kinds=tuple(kinds))


def one_basis(*bases: Basis | None) -> None:
    """Raise Implausible unless all count the same: grams of different boundaries are never mixed."""
    for basis in bases[1:]:
        if basis != bases[0]:
            raise Implausible(f"counts {basis}, while what we have counts {bases[0]}")


def _in_range(value: float | None, limits: Limits) -> float | None:
    if value is None or not math.isfinite(value) or not limits.low <= value <= limits.high:
        return None
    return value


def _lone(values: list[float | None], limit: float | None) -> list[int]:
    """Places whose value sticks out on one side of both neighbours."""
    if limit is None:
        return []
    found = []
    for n in range(1, len(values) - 1):
        before, value, after = values[n - 1 : n + 2]
        if before is not None and value is not None and after is not None:
            up, down = value - before, value - after
            if min(abs(up), abs(down)) > limit and up * down > 0:
                found.append(n)
    return found


def _dark(values: list[float | None], step_s: int) -> bool:
    day = DAY_S // step_s
    return len(values) >= day and any(not any(values[n : n + day]) for n in range(0, len(values) - day + 1, day // 4))


def _bridges(values: list[float | None], longest: int) -> list[tuple[int, float]]:
    """Values on a straight line over each gap that is short and has a value on either side."""
    known = [n for n, value in enumerate(values) if value is not None]
    found = []
    for left, right in pairwise(known):
        a, b = values[left], values[right]
        if a is None or b is None or not 1 < right - left <= longest + 1:
            continue
        found += [(n, a + (b - a) * (n - left) / (right - left)) for n in range(left + 1, right)]
    return found
