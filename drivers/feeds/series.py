"""What a source has said of one quantity: even intervals of UTC, labelled by their start."""

from dataclasses import dataclass
from datetime import datetime

from config.intensity import Basis, Kind
from config.localtime import epoch_s

NEWS_S = 2 * 3600  # reaching further by more than the usual step is news, as when tomorrow's prices come out


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One answer of a source for one quantity, on an even grid, as yet unjudged."""

    start_s: int  # seconds since 1970
    step_s: int
    values: tuple[float | None, ...]  # None = not said
    kinds: tuple[Kind, ...]  # one for each value
    basis: Basis | None = None  # of a carbon intensity


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A judged answer and its times."""

    said: Said
    issued_at: datetime  # when it was first said
    checked_at: datetime  # when the source last stood by it

    def index(self, when: datetime) -> int | None:
        """Which interval holds an instant; None if none does."""
        n = (epoch_s(when) - self.said.start_s) // self.said.step_s
        return n if 0 <= n < len(self.said.values) else None

    def newest(self, when: datetime) -> int | None:
        """The last interval with a value that began by `when`; None if there is none."""
        last = (epoch_s(when) - self.said.start_s) // self.said.step_s
        known = [n for n, value in enumerate(self.said.values[: last + 1]) if value is not None]
        return known[-1] if last >= 0 and known else None


def laid_out(found: dict[int, float | None], *, step_s: int, kind: Kind, basis: Basis | None = None) -> Said:
    """Values by their interval's start as one even series; what lies between and was not said is None."""
    first, last = min(found), max(found)
    values = tuple(found.get(at) for at in range(first, last + 1, step_s))
    return Said(start_s=first, step_s=step_s, values=values, kinds=(kind,) * len(values), basis=basis)


def is_news(before: Said, after: Said) -> bool:
    """Whether the later answer says something else of the same intervals, or reaches much further."""
    if (before.step_s, before.basis) != (after.step_s, after.basis):
        return True
    known = dict(_known(before))
    told = dict(_known(after))
    if not known or not told:
        return True
    common = [at for at in told if at in known]
    reach = max(told) - max(known)
    return not common or reach > NEWS_S or any(told[at] != known[at] for at in common)


def _known(said: Said) -> list[tuple[int, float]]:
    return [(said.start_s + n * said.step_s, value) for n, value in enumerate(said.values) if value is not None]
