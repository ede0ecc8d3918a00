"""Problems that look like a real building's, of any size, different at every step of time."""

from datetime import UTC, datetime, timedelta

import numpy as np

from optimiser.problem import (
    BoilerState,
    HeatPumpState,
    Problem,
    TankState,
    ZoneModel,
    ZoneState,
)

START = datetime(2023, 2, 6, tzinfo=UTC)
STEP = timedelta(minutes=15)


class Instances:
    """A seeded building whose states, weather, people, prices and intensity move on with each call."""

    def __init__(self, zones: int, *, seed: int = 1, steps: int = 96, per_zone_kw: float = 6.0) -> None:
        self._random = np.random.default_rng(seed)
        self._count = zones
        self._steps = steps
        self._power = per_zone_kw * zones
        size = self._random.uniform(0.7, 1.5, zones)
        self._models = tuple(
            ZoneModel(
                outdoor=0.012 / s,
                mass=0.12,
                neighbour=0.02 if zones > 1 else 0.0,
                heat_k_per_kw=0.16 / s,
                solar_k_per_kw_m2=0.35 / s,
                people_k=0.012 / s,
                mass_rate=0.011,
            )
            for s in size.tolist()
        )
        self._emitter = (11.0 * size).tolist()
        self._temperature = self._random.uniform(17.0, 21.0, zones)
        self._mass = self._random.uniform(18.0, 20.5, zones)
        self._tank = 0.4
        self._now = 0

    def next(self) -> Problem:
        """The next quarter of an hour's Problem."""
        steps, random, now = self._steps, self._random, self._now
        slots = (np.arange(now, now + steps)) % 96
        outdoor = 4.0 + 3.5 * np.sin((slots - 36) / 96 * 2 * np.pi) + random.normal(0, 0.3, steps).cumsum() * 0.1
        solar = np.maximum(0.0, 0.35 * np.sin((slots - 30) / 40 * np.pi)) * (slots > 30) * (slots < 70)
        solar *= random.uniform(0.3, 1.0)
        price = np.where(slots < 22, 0.09, np.where((slots >= 64) & (slots < 76), 0.38, 0.25))
        price = price + random.normal(0, 0.005, steps)
        intensity = 180 + 60 * np.sin((slots - 60) / 96 * 2 * np.pi) + random.normal(0, 8, steps)
        self._temperature = np.clip(self._temperature + random.normal(0, 0.1, self._count), 15, 23)
        self._mass += random.normal(0, 0.03, self._count)
        self._tank = float(np.clip(self._tank + random.normal(0, 0.05), 0.0, 1.0))
        occupied = (slots >= 34) & (slots < 72)
        low = np.where(occupied, 20.0, 12.0)
        high = np.where(occupied, 23.5, 26.0)
        zones = tuple(
            ZoneState(
                id=f"zone{z}",
                model=self._models[z],
                temperature_degc=float(self._temperature[z]),
                mass_degc=float(self._mass[z]),
                neighbours=(f"zone{(z - 1) % self._count}", f"zone{(z + 1) % self._count}") if self._count > 2 else (),
                low_degc=tuple(low.tolist()),
                high_degc=tuple(high.tolist()),
                people=tuple((occupied * random.uniform(2, 12)).tolist()),
                gain_k=tuple((0.02 * occupied + random.normal(0, 0.005)).tolist()),
                max_heat_kw=self._emitter[z],
            )
            for z in range(self._count)
        )
        most = self._power * (1 + 0.02 * (outdoor - 7))
        self._now += 1
        return Problem(
            start=START + now * STEP,
            step=STEP,
            zones=zones,
            heat_pump=HeatPumpState(
                id="heat_pump",
                max_heat_kw=tuple(most.tolist()),
                cop=tuple((3.2 + 0.07 * outdoor).tolist()),
                auxiliary_kw=0.015 * self._power,
                min_share=0.3,
            ),
            boiler=BoilerState(id="boiler", max_heat_kw=2.0 * self._power, efficiency=0.88),
            tank=TankState(
                id="tank",
                capacity_kwh=1.4 * self._power,
                energy_kwh=self._tank * 1.4 * self._power,
                loss_per_step=0.002,
                standing_loss_kw=0.1,
                cop_loss_per_kwh=0.4 / (1.4 * self._power),
            ),
            outdoor_degc=tuple(outdoor.tolist()),
            solar_kw_m2=tuple(solar.tolist()),
            base_load_kw=tuple((0.6 * self._power * (0.3 + 0.5 * occupied)).tolist()),
            pv_kw=tuple((0.8 * self._power * solar).tolist()),
            import_price=tuple(price.tolist()),
            export_price=(0.05,) * steps,
            gas_price=(0.07,) * steps,
            intensity_g_per_kwh=tuple(intensity.tolist()),
            gas_kg_per_kwh=0.183,
            carbon_price_per_kg=0.1,
            import_cap_kw=1.1 * self._power,
        )
