"""A building's past cut into days to predict, and what single steps of it leave unexplained."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from optimiser.history import Floats, Grid, filtered
from optimiser.problem import ZoneModel

STARTS_PER_DAY = 4


@dataclass(frozen=True, slots=True)
class Windows:
    """Days to predict, all starts and zones at once: (steps, starts, zones)."""

    first: NDArray[np.int64]  # grid step at which each begins
    truth: Floats
    weight: Floats  # 0 where the truth is not measured, or something was invented since the start
    outdoor: Floats
    solar: Floats
    people: Floats
    heat: Floats
    beside: Floats
    slot: NDArray[np.int64]

    def thinned(self, every: int) -> "Windows":
        """Return one start out of `every`."""
        return Windows(
            first=self.first[::every],
            truth=self.truth[:, ::every],
            weight=self.weight[:, ::every],
            outdoor=self.outdoor[:, ::every],
            solar=self.solar[:, ::every],
            people=self.people[:, ::every],
            heat=self.heat[:, ::every],
            beside=self.beside[:, ::every],
            slot=self.slot[:, ::every],
        )


def windows(data: Grid, day: int, *, first: int) -> Windows:
    steps = len(data.temperature)
    starts = np.arange(first, steps - day, max(1, day // STARTS_PER_DAY))
    places = starts[None, :] + np.arange(day)[:, None]  # of the inputs; temperatures follow one step later
    broken = np.cumsum(~data.usable[places], axis=0) > 0
    begun = data.measured[starts]
    weight = data.measured[places + 1] & ~broken & begun
    return Windows(
        first=starts,
        truth=data.temperature[places + 1],
        weight=weight.astype(float),
        outdoor=data.outdoor[places][..., None],
        solar=data.solar[places][..., None],
        people=data.people[places],
        heat=data.heat[places],
        beside=data.beside[places],
        slot=data.local_step[places],
    )


def one_step(data: Grid, values: Floats, offset: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what single steps leave unexplained (steps - 1, zones), and where that is known."""
    outdoor, mass, neighbour, heat, solar, people, rate = values.T
    slow = np.column_stack([filtered(data.temperature[:, zone], rate[zone]) for zone in range(len(values))])
    air = data.temperature[:-1]
    change = outdoor * (data.outdoor[:, None] - air) + mass * (slow[:-1] - air)
    change += neighbour * (data.beside[:-1] - air) + heat * data.heat + solar * data.solar[:, None]
    change += people * data.people + offset[data.local_step[:-1] % len(offset)]
    known = data.measured[1:] & data.measured[:-1] & data.usable
    return data.temperature[1:] - air - change, known


def profile(models: Sequence[ZoneModel], day: int) -> Floats:
    """Return the offsets by local step, (day steps, zones)."""
    columns = [np.resize(model.offset_k, day) if model.offset_k else np.zeros(day) for model in models]
    return np.column_stack(columns)
