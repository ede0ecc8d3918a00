"""How wrong a source's forecasts have been by lead time, and what that is good for.

For every whole hour of lead: mean error (bias) and mean absolute error, each over about the last two weeks. A bias is
added to later forecasts only at leads where doing so, judged on forecasts it had not seen, has made the error smaller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from config.intensity import Kind
from drivers.feeds.series import Said

LEADS = 48  # hours
HOUR_S = 3600
MEMORY = 672  # half-hours of two weeks: older errors fade
LEAST = 96  # scores at a lead before its bias is used
GAIN = 0.98  # a correction must have taken off at least 2 %
SETTLED_S = HOUR_S  # an actual younger than this may still be revised


@dataclass(slots=True)
class Told:
    """A forecast that waits for the truth."""

    asked_s: int
    start_s: int
    step_s: int
    values: tuple[float | None, ...]


@dataclass(slots=True)
class LeadErrors:
    """Statistics of one quantity; plain lists, as they are kept on disk."""

    count: list[int] = field(default_factory=lambda: [0] * LEADS)
    bias: list[float] = field(default_factory=lambda: [0.0] * LEADS)  # actual less said
    plain: list[float] = field(default_factory=lambda: [0.0] * LEADS)  # mean absolute error as said
    corrected: list[float] = field(default_factory=lambda: [0.0] * LEADS)  # and with the bias of the time added
    scored_s: int = 0  # actuals before this have been looked at
    told: list[Told] = field(default_factory=list)

    def hear(self, said: Said, *, asked_s: int) -> None:
        """Remember what is forecast now, once an hour."""
        if not self.told or asked_s - self.told[-1].asked_s >= HOUR_S - 60:
            self.told.append(Told(asked_s, said.start_s, said.step_s, said.values))
        self.told = [one for one in self.told if asked_s - one.asked_s < LEADS * HOUR_S]

    def score(self, actual: Said, *, now_s: int) -> None:
        """Compare what was forecast with what has come true since the last time."""
        newest = self.scored_s
        for n, (value, kind) in enumerate(zip(actual.values, actual.kinds, strict=True)):
            at = actual.start_s + n * actual.step_s
            if at < self.scored_s or at + actual.step_s > now_s - SETTLED_S or value is None:
                continue
            newest = at + actual.step_s
            if kind is Kind.ACTUAL:  # a substitute is a forecast itself and proves nothing
                self._score_one(at, value)
        self.scored_s = newest

    def _score_one(self, at: int, actual: float) -> None:
        for one in self.told:
            n, off = divmod(at - one.start_s, one.step_s)
            lead = (at - one.asked_s) // HOUR_S
            if off or not 0 <= n < len(one.values) or not 0 <= lead < LEADS:
                continue
            said = one.values[n]
            if said is not None:
                self._take(lead, actual - said)

    def _take(self, lead: int, error: float) -> None:
        self.count[lead] += 1
        share = 1.0 / min(self.count[lead], MEMORY)
        unseen = abs(error - self.bias[lead])
        self.plain[lead] += share * (abs(error) - self.plain[lead])
        self.corrected[lead] += share * (unseen - self.corrected[lead])
        self.bias[lead] += share * (error - self.bias[lead])

    def helps(self, lead: int) -> bool:
        """Whether adding the bias at this lead has proven itself."""
        return self.count[lead] >= LEAST and self.corrected[lead] < GAIN * self.plain[lead]

    def correct(self, said: Said, *, asked_s: int, low: float, high: float) -> tuple[float | None, ...]:
        """The forecast with the bias of each lead added where that helps, kept between low and high."""
        return tuple(
            value
            if value is None or lead is None or not self.helps(lead)
            else min(max(value + self.bias[lead], low), high)
            for value, lead in zip(said.values, _leads(said, asked_s), strict=True)
        )

    def expected(self, said: Said, *, asked_s: int) -> tuple[float, ...] | None:
        """Mean absolute error to expect of each step; None before anything was scored."""
        known = [lead for lead in range(LEADS) if self.count[lead]]
        if not known:
            return None
        typical = [self._typical(min(known, key=lambda other: abs(other - lead))) for lead in range(LEADS)]
        return tuple(0.0 if lead is None else typical[lead] for lead in _leads(said, asked_s))

    def _typical(self, lead: int) -> float:
        return self.corrected[lead] if self.helps(lead) else self.plain[lead]


def _leads(said: Said, asked_s: int) -> Sequence[int | None]:
    """Hours of lead of each interval; None for what was over when it was said."""
    starts = range(said.start_s, said.start_s + len(said.values) * said.step_s, said.step_s)
    return [None if at + said.step_s <= asked_s else min(max((at - asked_s) // HOUR_S, 0), LEADS - 1) for at in starts]
