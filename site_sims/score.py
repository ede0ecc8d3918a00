"""What a run cost: energy, money, carbon and comfort of a simulated building, from the plant's truth.

Comfort is judged by true air temperatures in the site file's hours. Heat still stored at the end counts at the average
price of heat: the same price for every run that is compared.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.factors import Activity, factor
from config.site import Fuel
from controller.carbon.intensity import IntensityFile, read_intensity
from site_sims.building import SimulatedBuilding
from site_sims.daylight import DIM_LUX, Daylight
from site_sims.forecasts import INTENSITY
from site_sims.weather import MINUTES_A_DAY

Array = NDArray[np.float64]

HALF_HOUR_MIN = 30
SUPERVISOR_SLOTS = tuple(range(9, 15))
BMS_SLOTS = (15,)
STUFFY_PPM = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatValue:
    """What a kilowatt-hour of heat cost on average in a run."""

    price: float  # tariff's currency
    grid_kg: float
    annual_kg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One run's result. Cost and carbon are net of heat stored beyond the start."""

    energy_kwh: dict[str, float]  # electricity (import less export), gas (gross calorific value)
    cost: float
    carbon_kg: dict[str, float]  # grid: half-hourly intensity; annual: the year's factor. Exports are not credited
    discomfort_kh: dict[str, float]  # below, above; summed over zones
    mean_occupied_degc: float  # by area; NaN if nobody was expected
    peak_kw: float  # highest half-hour of import
    commands: int
    starts: dict[str, int]
    stored_kwh: dict[str, float]  # tank and fabric: end less start
    stuffy_ppm_h: float  # CO2 above 1,000 ppm with people there
    dim_h: float  # zone-hours with people and less than 400 lux, daylight included
    heat: HeatValue
    hours: float

    def as_json(self) -> dict[str, Any]:
        """The keys of `plenum simulate --json`, rounded for people."""
        shown = asdict(self)
        del shown["heat"], shown["hours"]
        return {key: _rounded(value) for key, value in shown.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, float):
        return round(value, 2) if isfinite(value) else None  # nobody came: there is no mean
    return value


@dataclass(slots=True)
class _Bins:
    """Energy by half-hour of the run, kWh."""

    imported: list[float]
    exported: list[float]
    gas: list[float]
    heat_pump: list[float]


class Scorer:
    """Watches a building from now on; `score` may be asked at any whole half-hour.

    `slots` are the priorities whose writes count as commands: 9 to 14 for a supervisor, 15 for the building's own BMS.
    """

    def __init__(
        self,
        building: SimulatedBuilding,
        *,
        intensity: IntensityFile | None = None,
        slots: tuple[int, ...] = SUPERVISOR_SLOTS,
    ) -> None:
        if building.minute % HALF_HOUR_MIN:
            raise ValueError(f"a score begins at a whole half-hour, not at {building.time:%H:%M}")
        self._building, self._slots = building, slots
        self._intensity = intensity or read_intensity(INTENSITY)
        zones = building.building.zones
        self._low = np.array([zone.comfort.occupied.low for zone in zones])
        self._high = np.array([zone.comfort.occupied.high for zone in zones])
        self._area = np.array([zone.area_m2 for zone in zones])
        self._daylight = Daylight(zones, building.truth)
        self._since: datetime = building.time
        self._stored = building.stored_kwh()
        self._starts = self._all_starts()
        self._writes = self._all_writes()
        registers = building.registers
        self._heat_made = registers.heat_pump_heat + registers.boiler_heat
        self._before = registers.imported, registers.exported, registers.gas, registers.heat_pump
        self._bins = _Bins([], [], [], [])
        self._below = np.zeros(len(zones))
        self._above = np.zeros(len(zones))
        self._warmth = self._weight = self._stuffy = self._dim = 0.0
        building.watchers.append(self._watch)

    def close(self) -> None:
        """Stop watching."""
        self._building.watchers.remove(self._watch)

    @property
    def discomfort_by_zone(self) -> dict[str, tuple[float, float]]:
        """K h below and above the band, by zone."""
        pairs = zip(self._building.building.zones, self._below, self._above, strict=True)
        return {zone.id: (float(low) / 60, float(high) / 60) for zone, low, high in pairs}

    def _watch(self, building: SimulatedBuilding) -> None:
        day, within = divmod(building.minute - 1, MINUTES_A_DAY)
        scheduled, people = building.occupants.day(day)
        occupied = scheduled[within]
        if occupied.any():
            air = building.plant.fabric.air
            self._below += occupied * np.maximum(self._low - air, 0.0)
            self._above += occupied * np.maximum(air - self._high, 0.0)
            weights = occupied * self._area
            self._warmth += float(weights @ air)
            self._weight += float(weights.sum())
        present = people[within]
        if present.any():
            lux = self._daylight.lux(building.weather.at(building.minute - 1), building.commands.light_percent)
            self._dim += float(((present > 0) & (lux < DIM_LUX)).sum())
            aired = building.plant.aired
            if aired is not None and present[aired] > 0:
                self._stuffy += max(building.plant.co2(aired) - STUFFY_PPM, 0.0)
        if building.minute % HALF_HOUR_MIN == 0:
            registers = building.registers
            now = registers.imported, registers.exported, registers.gas, registers.heat_pump
            bins = self._bins
            for store, new, old in zip(
                (bins.imported, bins.exported, bins.gas, bins.heat_pump), now, self._before, strict=True
            ):
                store.append(new - old)
            self._before = now

    def score(self, heat: HeatValue | None = None) -> Score:
        """The result so far; `heat` values what is stored, None takes this run's own average."""
        building, bins = self._building, self._bins
        imported, exported, gas, pump = (
            np.array(values) for values in (bins.imported, bins.exported, bins.gas, bins.heat_pump)
        )
        starts_s = int(self._since.timestamp()) + 1800 * np.arange(imported.size)
        rate = np.array([building.rates.at(Fuel.ELECTRICITY, second // 60) for second in starts_s.tolist()])
        gas_rate = np.array([building.rates.at(Fuel.GAS, second // 60) for second in starts_s.tolist()])
        if not self._intensity.span[0] <= self._since <= building.time <= self._intensity.span[1]:
            raise LookupError(f"no carbon intensity for all of the run from {self._since:%Y-%m-%d}")
        grams = self._intensity.actual_g_per_kwh(self._since, timedelta(minutes=HALF_HOUR_MIN), imported.size)
        year = self._since.year
        gas_kg, grid_kg = (
            float(factor(activity, year).kg_per_kwh) for activity in (Activity.GAS, Activity.ELECTRICITY)
        )
        made = building.registers.heat_pump_heat + building.registers.boiler_heat - self._heat_made
        # The half-hourly ledger counts CO2 alone, as the grid's intensity does; the annual one CO2e.
        gas_co2_kg = float(factor(Activity.GAS, year).co2_per_kwh or gas_kg)
        own = HeatValue(
            price=(float(pump @ rate) + float(gas @ gas_rate)) / max(made, 1.0),
            grid_kg=(float(pump @ grams) / 1000 + float(gas.sum()) * gas_co2_kg) / max(made, 1.0),
            annual_kg=(float(pump.sum()) * grid_kg + float(gas.sum()) * gas_kg) / max(made, 1.0),
        )
        value = heat or own
        stored = {name: kwh - self._stored[name] for name, kwh in building.stored_kwh().items()}
        held = sum(stored.values())
        export_rate = building.rates.tariff(Fuel.ELECTRICITY).export_rate
        bill = float(imported @ rate) - float(exported.sum()) * export_rate + float(gas @ gas_rate)
        grid = float(imported @ grams) / 1000 + float(gas.sum()) * gas_co2_kg
        annual = float(imported.sum()) * grid_kg + float(gas.sum()) * gas_kg
        return Score(
            energy_kwh={"electricity": float(imported.sum() - exported.sum()), "gas": float(gas.sum())},
            cost=bill - held * value.price,
            carbon_kg={"grid": grid - held * value.grid_kg, "annual": annual - held * value.annual_kg},
            discomfort_kh={"below": float(self._below.sum()) / 60, "above": float(self._above.sum()) / 60},
            mean_occupied_degc=self._warmth / self._weight if self._weight else float("nan"),
            peak_kw=float(imported.max()) * 2 if imported.size else 0.0,
            commands=self._all_writes() - self._writes,
            starts={name: now - self._starts[name] for name, now in self._all_starts().items()},
            stored_kwh=stored,
            stuffy_ppm_h=self._stuffy / 60,
            dim_h=self._dim / 60,
            heat=own,
            hours=imported.size / 2,
        )

    def _all_starts(self) -> dict[str, int]:
        return {kind: machine.starts for kind, machine in self._building.plant.machines.items()}

    def _all_writes(self) -> int:
        return sum(obj.writes[slot - 1] for obj in self._building.field for slot in self._slots)
