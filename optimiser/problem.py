"""What the optimiser is told and what it answers; no solver in here.

All series of one Problem share `start`, `step` and length. Power is kW, energy kWh, temperature degC, money in the
tariff's currency, carbon kg (g/kWh in intensity). Heat into a zone is positive; import positive, export negative.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values on an even grid, each labelled by its interval's start."""

    start: datetime  # aware, UTC
    step: timedelta
    unit: str
    values: tuple[float, ...]

    def at(self, when: datetime) -> float:
        """Return the value of the interval that holds `when`; raises IndexError outside."""
        index = (when - self.start) // self.step
        if not 0 <= index < len(self.values):
            raise IndexError(f"{when:%Y-%m-%d %H:%M} lies outside the series")
        return self.values[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    series: Series
    made_at: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneModel:
    """Discrete two-state model of one zone at the Problem's step (identified; see `thermal.py`).

    T' = T + outdoor (To - T) + mass (M - T) + neighbour (N - T) + heat q + solar S + people p + offset(tod) + bias
    M' = M + mass_rate (T - M)
    with N the mean temperature of the neighbours, q kW of heat, S kW/m2 on the horizontal, p people.
    """

    outdoor: float  # 1/step
    mass: float  # 1/step
    neighbour: float  # 1/step
    heat_k_per_kw: float  # K per step and kW
    solar_k_per_kw_m2: float  # K per step and kW/m2
    people_k: float  # K per step and person
    mass_rate: float  # 1/step
    offset_k: tuple[float, ...] = ()  # by step of the local day; empty = 0
    fitted_rmse_k: float | None = None  # 24 h error on data left out; None = a prior by floor area


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneState:
    """One zone now and what is wanted of it."""

    id: str
    model: ZoneModel
    temperature_degc: float
    mass_degc: float
    neighbours: tuple[str, ...]
    low_degc: tuple[float, ...]  # comfort band by step, at the END of the step
    high_degc: tuple[float, ...]
    people: tuple[float, ...]
    gain_k: tuple[float, ...]  # K per step: time-of-day offset and disturbance estimate
    max_heat_kw: float
    held_degc: float | None = None  # a stronger hand holds the setpoint here; None = ours


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatPumpState:
    id: str
    max_heat_kw: tuple[float, ...]  # by step, from outdoor temperature
    cop: tuple[float, ...]  # by step, without auxiliaries
    auxiliary_kw: float  # drawn whenever it runs
    min_share: float = 0.0  # lowest part load as a share of max_heat_kw
    available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BoilerState:
    id: str
    max_heat_kw: float
    efficiency: float
    available: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TankState:
    """A buffer tank charged by the heat pump, in kWh above its useful low temperature."""

    id: str
    capacity_kwh: float
    energy_kwh: float
    loss_per_step: float  # share of the content lost each step
    standing_loss_kw: float = 0.0
    draw_kw: float | None = None  # most heat the emitters take from it at its useful low; None = no limit
    draw_kw_per_kwh: float = 0.0  # more for each kWh of charge: hotter water gives more
    open_share: tuple[float, ...] = ()  # share of the emitters that are open, by step; empty = all
    cop_loss_per_kwh: float = 0.0  # relative rise of electricity per kWh of charge held while charging


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Prices of what is not bought: two-tier comfort slack, cap slack, and change of heat.

    The band that a plan is given is a little narrower than the comfort band; to lose that margin is no discomfort yet
    and is cheap. A dear margin makes a plan overheat two rooms for tenths of a kelvin in the one between them.
    """

    near_per_kh: float = 1.0  # first `near_k` below or above the band
    far_per_kh: float = 10.0  # beyond it
    near_k: float = 0.2
    cap_per_kwh: float = 50.0
    ramp_per_kw: float = 0.0005


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything the optimiser may know."""

    start: datetime
    step: timedelta
    zones: tuple[ZoneState, ...]
    heat_pump: HeatPumpState | None
    boiler: BoilerState | None
    tank: TankState | None
    outdoor_degc: tuple[float, ...]
    solar_kw_m2: tuple[float, ...]
    base_load_kw: tuple[float, ...]  # electricity that is not ours to move
    pv_kw: tuple[float, ...]
    import_price: tuple[float, ...]  # per kWh
    export_price: tuple[float, ...]
    gas_price: tuple[float, ...]
    intensity_g_per_kwh: tuple[float, ...]
    gas_kg_per_kwh: float
    carbon_price_per_kg: float
    import_cap_kw: float | None = None
    weights: Weights = field(default_factory=Weights)
    made_at: datetime | None = None  # None = start
    trigger: str = "schedule"  # what made us plan

    @property
    def steps(self) -> int:
        return len(self.outdoor_degc)


class Status(StrEnum):
    OPTIMAL = "optimal"
    LIMIT = "limit"  # stopped early, incumbent used
    SHIFTED = "shifted"  # the last plan, moved on
    RULES = "rules"  # the rule schedule
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something in the plan is as it is, in words a caretaker understands."""

    time: datetime
    part: str  # zone, plant or meter id
    cause: str  # price | carbon | comfort | peak | limit | solar | occupancy
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The optimiser's answer.

    Series by name: `temperature:<zone>` (degC at the end of each step), `heat:<zone>` (kW), `heat_pump` (kW heat),
    `boiler` (kW heat), `tank` (kWh), `import` and `export` (kW), `electricity` (kW of the heat pump).
    """

    made_at: datetime
    trigger: str
    status: Status
    series: Mapping[str, Series]
    cost: float
    carbon_kg: float
    energy_kwh: Mapping[str, float]  # by fuel
    discomfort_kh: float
    objective: float
    solve_s: float
    marginal_heat_price: tuple[float, ...] = ()  # money per kWh of heat by step
    reasons: tuple[Reason, ...] = ()


class SolverFailed(Exception):  # noqa: N818  reads as what happened
    """No usable plan came out; the text says what the solver answered."""
