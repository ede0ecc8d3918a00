"""Many wishes for one point, one value on the wire. Pure: the same requests give the same winner in any order."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Source(StrEnum):
    """Who asks, strongest first."""

    EMERGENCY = "emergency"
    MANUAL = "manual"
    DEMAND_LIMIT = "demand_limit"
    OPTIMISER = "optimiser"
    RULES = "rules"

    @property
    def rank(self) -> int:
        """0 is the strongest."""
        return _RANK[self]

    @property
    def automatic(self) -> bool:
        """True for what a program plans ahead; rate limits and write limits bind only these."""
        return self in (Source.OPTIMISER, Source.RULES)


_RANK = {source: rank for rank, source in enumerate(Source)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Someone's wish for a point until it expires.

    With a value and no bounds it settles the point. With bounds, weaker sources may choose inside them and `value`
    is what holds while none of them asks; without a value it only bounds the others.
    """

    source: Source
    point: str
    value: float | None  # None = no wish of its own, only bounds for weaker sources
    expires: datetime  # UTC; ignored from this instant on
    reason: str
    decision: str  # id of the plan, override or event behind it
    low: float | None = None  # weaker sources stay at or above
    high: float | None = None  # weaker sources stay at or below
    scheduled: bool = False  # the change was published in a plan before its time came

    def __post_init__(self) -> None:
        if self.value is None and self.low is None and self.high is None:
            raise ValueError(f"{self.point}: a request needs a value or a bound")

    @property
    def finite(self) -> bool:
        """False if any number in it is NaN or infinite; such a request never wins."""
        return all(x is None or math.isfinite(x) for x in (self.value, self.low, self.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Winner:
    """The one request that gets its point, and the value it is left with."""

    request: Request
    value: float  # the request's value inside the bounds of stronger sources
    bounded_by: Source | None = None  # who moved the value; None = nobody


def decide(requests: Iterable[Request], now: datetime) -> Mapping[str, Winner]:
    """Choose the winner of each point; points without a live wish are left out."""
    by_point: dict[str, list[Request]] = {}
    for request in requests:
        if request.expires > now and request.finite:
            by_point.setdefault(request.point, []).append(request)
    winners = {point: _settle(sorted(wishes, key=_order)) for point, wishes in sorted(by_point.items())}
    return {point: winner for point, winner in winners.items() if winner is not None}


def _settle(wishes: list[Request]) -> Winner | None:
    low, high = -math.inf, math.inf
    low_by: Source | None = None
    high_by: Source | None = None
    winner = None
    for wish in wishes:
        if wish.value is not None:
            value = min(max(wish.value, low), high)
            mover = low_by if value > wish.value else high_by if value < wish.value else None
            winner = Winner(request=wish, value=value, bounded_by=mover)
            if wish.low is None and wish.high is None:
                return winner
        # A weaker source's bounds can only narrow what the stronger ones left.
        if wish.low is not None and min(wish.low, high) > low:
            low, low_by = min(wish.low, high), wish.source
        if wish.high is not None and max(wish.high, low) < high:
            high, high_by = max(wish.high, low), wish.source
    return winner


def _order(wish: Request) -> tuple[int, float, float, float, float, str, str, bool]:
    """Strongest source first; among equals a total order, so that arrival does not matter."""
    return (
        wish.source.rank,
        -wish.expires.timestamp(),
        math.inf if wish.value is None else wish.value,
        -math.inf if wish.low is None else wish.low,
        math.inf if wish.high is None else wish.high,
        wish.decision,
        wish.reason,
        wish.scheduled,
    )
