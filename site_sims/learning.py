"""Lets a simulated building live through the learning weeks under its own BMS, and learns from what the sensors said.

Only readings of the field are used, the same ones a driver would bring; never the truth of the plant. A mild
identification programme moves setpoints inside the comfort band at hours that do not matter, as a commissioning would.
"""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from config.roles import Role
from config.site import Site
from controller.estimate import Estimator
from controller.history import History
from controller.learned import Learned, priors
from controller.learner import learn
from controller.occupancy import Occupancy
from drivers.base import Reading
from site_sims.building import SimulatedBuilding, key_of

PROGRAMME_SLOT = 14  # weaker than control, stronger than the BMS's own schedule
HOLD_H = (2, 6)
NIGHT_SHARE = 0.35  # of the unoccupied holds, so that most nights stay as the BMS would have them
SAMPLE_MIN = 3  # a quarter-hour mean of five noisy samples


class Programme:
    """Random holds of zone setpoints while a zone is empty by its timetable: above setback, never above the band."""

    def __init__(self, building: SimulatedBuilding, occupancy: Occupancy, seed: int) -> None:
        self._building, self._occupancy = building, occupancy
        self._random = random.Random(f"programme {seed}")
        self._until: dict[str, datetime] = {}
        site = building.site
        self._points = {
            z.id: site.by_role(Role.HEATING_SETPOINT, z.id)[0] for z in building.building.zones if z.emitter_kw
        }

    def step(self, now: datetime) -> None:
        """Begin or end holds."""
        for zone, point in self._points.items():
            obj = self._building.field[key_of(point)]
            due = self._occupancy.next_start(zone, now)
            quiet = due is None or due - now > timedelta(hours=1)
            if not quiet or self._occupancy.occupied(zone, now):
                obj.write(None, PROGRAMME_SLOT)
                self._until.pop(zone, None)
            elif now >= self._until.get(zone, now):
                self._until[zone] = now + timedelta(hours=self._random.uniform(*HOLD_H))
                warm = self._random.random() < NIGHT_SHARE
                obj.write(round(self._random.uniform(18.0, 22.5), 1) if warm else None, PROGRAMME_SLOT)

    def end(self) -> None:
        """Hand every zone back."""
        for point in self._points.values():
            self._building.field[key_of(point)].write(None, PROGRAMME_SLOT)


def history_of(site: Site) -> History:
    """An empty history with a column for each point of the site."""
    points = site.points
    return History(list(points), held=[p.id for p in points.values() if p.max_age > timedelta(minutes=15)])


def observe(building: SimulatedBuilding, history: History, until: datetime, each_minute: Callable[[], None]) -> None:
    """Live until `until`, writing what the sensors show into the history every few minutes."""
    objects = [(point.id, building.field[key_of(point)]) for point in building.site.points.values()]
    while building.time < until:
        building.step()
        each_minute()
        if building.minute % SAMPLE_MIN == 0:
            now = building.time - timedelta(seconds=1)
            history.add([Reading(point=p, time=now, received=now, value=o.value) for p, o in objects], now)
    history.close(building.time)


def learning_weeks(
    building: SimulatedBuilding,
    end: datetime,
    *,
    until: datetime,
    seed: int,
    tick: Callable[[timedelta], None] = lambda _: None,
) -> tuple[Learned, History]:
    """Live up to `end` under the BMS and the programme and learn, then live under the BMS alone up to `until`.

    Returns what was learned, from the days before `end` only, and the history to go on with. `tick` is told the time
    lived, now and then.
    """
    site = building.site
    occupancy = Occupancy(site)
    history = history_of(site)
    programme = Programme(building, occupancy, seed)
    quiet_from = end - timedelta(days=2)  # the last days are the BMS's alone, so that scoring begins undisturbed

    def each_minute() -> None:
        if building.minute % 30 == 0:
            if building.time < quiet_from:
                programme.step(building.time)
            else:
                programme.end()
        if building.minute % 1440 == 0:
            tick(timedelta(days=1))

    observe(building, history, end, each_minute)
    programme.end()
    learned = learn(site, Estimator(site, history, occupancy), old=priors(site), now=end)
    observe(building, history, until, each_minute)
    return learned, history
