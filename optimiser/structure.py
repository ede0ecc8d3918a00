"""What shape a Problem has: everything that, when it changes, means another model must be compiled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from optimiser.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The key of a compiled model. Two Problems with equal structures differ in numbers only.

    Plant that exists but is not available keeps its place: it is a number (no heat), not another structure.
    """

    zones: tuple[str, ...]
    neighbours: tuple[tuple[int, ...], ...]  # by zone, indices into `zones`, mutual; empty = nobody next door
    steps: int
    heat_pump: bool
    boiler: bool
    tank: bool  # only with a heat pump, which alone charges it

    @property
    def links(self) -> tuple[tuple[int, int], ...]:
        """Every zone with each of its neighbours."""
        return tuple((own, other) for own, places in enumerate(self.neighbours) for other in places)


def mutual(neighbours: Sequence[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the neighbours with every link known at both of its ends: a wall has two sides.

    A link known to one end only would be a source of heat.
    """
    sides = [set(places) - {own} for own, places in enumerate(neighbours)]
    for own, places in enumerate(neighbours):
        for place in places:
            if place != own:
                sides[place].add(own)
    return tuple(tuple(sorted(side)) for side in sides)


def structure_of(problem: Problem) -> Structure:
    """Return the Structure of a Problem.

    Neighbours that are no zone of the Problem are left out: nothing is known of their temperature.
    Raises ValueError where a zone is named twice, or nothing is to be planned.
    """
    zones = tuple(zone.id for zone in problem.zones)
    index = {name: position for position, name in enumerate(zones)}
    if len(index) < len(zones):
        twice = sorted({name for name in zones if zones.count(name) > 1})
        raise ValueError(f"zone {twice[0]} appears more than once in the problem")
    if not zones or problem.steps < 2:
        raise ValueError("a problem needs at least one zone and two steps")
    neighbours = mutual([[index[name] for name in zone.neighbours if name in index] for zone in problem.zones])
    return Structure(
        zones=zones,
        neighbours=neighbours,
        steps=problem.steps,
        heat_pump=problem.heat_pump is not None,
        boiler=problem.boiler is not None,
        tank=problem.tank is not None and problem.heat_pump is not None,
    )
