"""Learns the building every night from its own quarter hours; a new model counts only where it has proved better."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from config.site import Fuel, Site
from controller.apart import Place, WorkFailed, here
from controller.estimate import Estimator
from controller.events import Cause, Trigger
from controller.gather import Gatherer
from controller.hub import Hub
from controller.learned import Learned, boiler_of, heat_pump_of, priors
from controller.occupancy import Occupancy
from drivers.clock import Clock
from optimiser.history import History as Teachings
from optimiser.identify import Learnt
from optimiser.identify import learn as learn_zones
from optimiser.plant import FEWEST, PlantFit, heat_pump_curve, identify_boiler, identify_plant

log = logging.getLogger(__name__)

LEAST = timedelta(days=7)
STEPS = int(timedelta(days=42) / timedelta(minutes=15))
NO_ZONES = "no zone has an emitter: nothing to learn"
NIGHTLY_AT = timedelta(hours=2, minutes=50)  # local


def learn(site: Site, estimator: Estimator, *, old: Learned, now: datetime) -> Learned:
    """What the last six weeks teach, zone by zone the better of the old and the new model.

    Raises ValueError where there are fewer than three days.
    """
    if not estimator.ids:
        return replace(old, verdict=NO_ZONES)
    return _judged(estimator, old, *lesson(site, estimator, old=old)(), now=now)


async def learn_at(place: Place, site: Site, estimator: Estimator, *, old: Learned, now: datetime) -> Learned:
    """Learn like `learn`, computing at `place`. Raises WorkFailed too."""
    if not estimator.ids:
        return replace(old, verdict=NO_ZONES)
    return _judged(estimator, old, *await place(lesson(site, estimator, old=old)), now=now)


def lesson(site: Site, estimator: Estimator, *, old: Learned) -> Callable[[], tuple[Learnt, PlantFit]]:
    """All that is to be computed of zones and plant, ready to be sent to another process."""
    count = min(len(estimator), STEPS)
    index = {zone: n for n, zone in enumerate(estimator.ids)}
    teachings = Teachings(
        step=timedelta(minutes=15),
        neighbours=tuple(tuple(index[z] for z in estimator.neighbours[zone]) for zone in estimator.ids),
        local_step=estimator.local_steps(count),
        temperature_degc=estimator.temperatures(count),
        outdoor_degc=estimator.outdoor(count),
        solar_kw_m2=estimator.solar_kw_m2(count),
        people=estimator.people(count),
        heat_kw=estimator.rated_heat_kw(count),
        metered_heat_kw=estimator.metered_heat_kw(count),
    )
    first = priors(site)
    zones = partial(
        learn_zones,
        teachings,
        old=[old.zones[zone] for zone in estimator.ids],
        old_scale=[old.emitter_scale.get(zone, 1.0) for zone in estimator.ids],
        prior=[first.zones[zone] for zone in estimator.ids],
    )
    return partial(_taught, zones, _plant(site, estimator, count))


def _taught(zones: Callable[[], Learnt], plant: Callable[[], PlantFit]) -> tuple[Learnt, PlantFit]:
    return zones(), plant()


def _judged(estimator: Estimator, old: Learned, found: Learnt, plant: PlantFit, *, now: datetime) -> Learned:
    taken = [decision.accepted for decision in found.decisions]
    verdict = "; ".join(
        f"{zone} {decision.reason}" for zone, decision in zip(estimator.ids, found.decisions, strict=True)
    )
    return replace(
        old,
        zones={**old.zones, **dict(zip(estimator.ids, found.models, strict=True))},
        emitter_scale={**old.emitter_scale, **dict(zip(estimator.ids, found.emitter_scale, strict=True))},
        **_plant_taught(plant),
        accepted_at=now if any(taken) else old.accepted_at,
        verdict=f"{sum(taken)} of {len(taken)} zones; {plant.reason}; {verdict}",
    )


def _plant_taught(fit: PlantFit) -> dict[str, float]:
    """What there was enough to learn from; after a summer the rest is still what it was."""
    taught: dict[str, float] = {}
    if fit.samples >= FEWEST:
        taught = {"heat_pump_cop": fit.heat_pump_cop, "heat_pump_capacity": fit.heat_pump_capacity}
    if fit.boiler_efficiency != 1.0:
        taught["boiler_efficiency"] = fit.boiler_efficiency
    return taught


def _plant(site: Site, estimator: Estimator, steps: int) -> Callable[[], PlantFit]:
    pump, boiler = heat_pump_of(site), boiler_of(site)
    if pump is None:
        if boiler is None:
            return PlantFit
        return partial(
            identify_boiler,
            rated_efficiency=boiler.efficiency,
            heat_kw=estimator.output(boiler.id, steps),
            gas_kw=estimator.power_by_register(Fuel.GAS, steps),
        )
    outdoor = estimator.outdoor(steps)
    rated_max, rated_cop = heat_pump_curve(pump.heat_kw, pump.cop, outdoor, estimator.usual_flow(outdoor))
    gas = None if boiler is None else estimator.power_by_register(Fuel.GAS, steps)
    return partial(
        identify_plant,
        rated_cop=np.asarray(rated_cop),
        rated_max_kw=np.asarray(rated_max),
        heat_pump_heat_kw=estimator.output(pump.id, steps),
        heat_pump_electricity_kw=estimator.electricity(pump.id, steps),
        auxiliary_kw=pump.auxiliary_kw,
        flat_out=estimator.flat_out(pump.id, steps),
        rated_efficiency=1.0 if boiler is None else boiler.efficiency,
        boiler_heat_kw=None if boiler is None else estimator.output(boiler.id, steps),
        gas_kw=gas,
    )


class Learner:
    """One task: learns once a night at `place`, stores what was accepted, and tells the planner."""

    def __init__(
        self,
        site: Site,
        *,
        estimator: Estimator,
        occupancy: Occupancy,
        clock: Clock,
        triggers: Hub[Trigger],
        path: Path,
        gatherer: Gatherer,
        place: Place = here,
    ) -> None:
        self._site, self._estimator, self._occupancy, self._clock = site, estimator, occupancy, clock
        self._triggers, self._path, self._gatherer, self._place = triggers, path, gatherer, place

    async def run(self) -> None:
        """Learn every night until cancelled."""
        while True:
            await self._clock.sleep_until(self._next())
            if len(self._estimator) * timedelta(minutes=15) < LEAST:
                continue
            now = self._clock.now()
            try:
                new = await learn_at(self._place, self._site, self._estimator, old=self._gatherer.learned, now=now)
            except WorkFailed as error:
                log.warning("nothing was learned tonight: %s", error)
                continue
            log.info("models: %s", new.verdict)
            self._gatherer.learned = new
            try:
                new.save(self._path)
            except OSError as error:  # a full disk must not end control; tomorrow is another night
                log.warning("the models could not be kept: %s", error)
            if new.accepted_at == now:
                self._triggers.publish(Trigger(cause=Cause.MODEL, text=new.verdict.partition(";")[0], time=now))

    def _next(self) -> datetime:
        now = self._clock.now()
        midnight = self._occupancy.local(now).replace(hour=0, minute=0, second=0, microsecond=0)
        due = midnight + NIGHTLY_AT
        return due if due > now else midnight + timedelta(days=1) + NIGHTLY_AT
