"""The heating plant's programme: weather compensation, summer, cheapest source and tank, for the plant there is."""

from collections.abc import Callable
from dataclasses import dataclass

from config.roles import Role
from config.site import Fuel
from site_sims.bms_points import Points, put
from site_sims.machines import performance
from site_sims.rates import Rates, TariffBand
from site_sims.truth import BmsTruth

CYCLE_MIN = 5  # the program runs each five minutes
GAS_EFFICIENCY = 0.88  # on the boiler's plate
BACKUP_STAYS_MIN = 30
DAY_MIN = 1440.0
SUMMER_BAND_K = 1.0


@dataclass(slots=True)
class HeatState:
    """What a checkpoint has to hold."""

    outdoor: float | None = None  # slow mean, degC
    day_degc: float | None = None  # mean of about a day
    summer: bool = False  # no heating until it is colder again
    short_of_heat_min: float = 0.0
    backup_until: int = 0

    def feel(self, outdoor: float, limit: float | None) -> None:
        """Take in a minute's outdoor temperature; above the heating limit it is summer."""
        self.outdoor = outdoor if self.outdoor is None else self.outdoor + (outdoor - self.outdoor) / 60
        self.day_degc = outdoor if self.day_degc is None else self.day_degc + (outdoor - self.day_degc) / DAY_MIN
        if limit is not None:
            self.summer = self.day_degc > limit - (SUMMER_BAND_K if self.summer else 0.0)


class HeatProgram:
    """Reads the valves, writes flow, tank and which source may run."""

    def __init__(self, points: Points, *, settings: BmsTruth, rates: Rates) -> None:
        self._settings, self._rates = settings, rates
        self._pump, self._limit = points.of(Role.ENABLE, "heat_pump"), points.of(Role.CAPACITY_LIMIT, "heat_pump")
        self._pump_fault, self._boiler = points.of(Role.FAULT, "heat_pump"), points.of(Role.ENABLE, "boiler")
        self._tank = points.of(Role.TANK_SETPOINT, "tank")
        circuit = points.of(Role.FLOW_SETPOINT, "circuit"), points.of(Role.FLOW_TEMPERATURE, "circuit")
        if circuit[0] is None or circuit[1] is None:
            raise TypeError("the simulated BMS needs a circuit with flow setpoint and flow temperature")
        self._flow, self._flow_degc = circuit[0], circuit[1]

    def run(
        self,
        minute: int,
        band: TariffBand,
        state: HeatState,
        *,
        demand: bool,
        warming: bool,
        occupied_soon: Callable[[int], bool],
    ) -> None:
        """Heating curve and sources; `warming`: a zone is more than 1 K short. The boiler carries what is left."""
        s = self._settings
        demand = demand and not state.summer
        curve = s.curve_offset + s.curve_slope * max(20.0 - (state.outdoor or 0.0), 0.0)
        flow = curve + (s.boost_k if warming else 0.0)
        flow = round(min(max(flow, self._flow.low or 25.0), self._flow.high or 65.0) * 2) / 2
        put(self._flow, flow)
        boiler = demand
        if self._pump is not None:
            prefers = self._prefers_pump(minute, band, state, curve)
            ready = band is TariffBand.NIGHT and not state.summer and occupied_soon(minute)
            self._charge(curve, demand=demand, runs=(prefers and demand) or ready, ready=ready, band=band)
            short = self._short_of_heat(minute, state, demand=demand, flow=flow, warming=warming)
            boiler = demand and (short or not prefers)
        if self._boiler is not None:
            put(self._boiler, 1.0 if boiler else 0.0)
        if self._limit is not None:
            put(self._limit, 100.0)

    def _charge(self, curve: float, *, demand: bool, runs: bool, ready: bool, band: TariffBand) -> None:
        """The tank follows the curve, is made ready in the cheap hours and let down in the dear ones."""
        s = self._settings
        tank = curve + s.tank_margin_k if demand else 25.0
        if ready:
            tank = max(tank, s.tank_night_degc)
        elif band is TariffBand.PEAK:
            tank = min(tank, s.tank_peak_degc)
        if self._tank is not None:
            put(self._tank, round(tank * 2) / 2)
        if self._pump is not None:
            put(self._pump, 1.0 if runs else 0.0)

    def _prefers_pump(self, minute: int, band: TariffBand, state: HeatState, curve: float) -> bool:
        """Heat from the heat pump, at its rated performance now, costs less than from the boiler."""
        if self._boiler is None:
            return True
        if self._pump_fault is not None and self._pump_fault.sensed > 0.5:
            return False
        s, hottest = self._settings, 55.0 if self._tank is None else self._tank.high or 55.0
        water = min(curve + s.tank_margin_k, hottest)
        bias = {TariffBand.NIGHT: s.bias_night, TariffBand.DAY: s.bias_day, TariffBand.PEAK: s.bias_peak}[band]
        electric = self._rates.at(Fuel.ELECTRICITY, minute) / performance(state.outdoor or 0.0, water, 0.8)
        return electric * bias < self._rates.at(Fuel.GAS, minute) / GAS_EFFICIENCY

    def _short_of_heat(self, minute: int, state: HeatState, *, demand: bool, flow: float, warming: bool) -> bool:
        """The flow has been below its setpoint for a while: the boiler joins in, and stays for half an hour."""
        s = self._settings
        idle = self._rates.band(minute) is TariffBand.NIGHT and not warming  # cheap hours are the heat pump's
        short = demand and not idle and self._flow_degc.sensed < flow - s.backup_k
        state.short_of_heat_min = state.short_of_heat_min + CYCLE_MIN if short else 0.0
        if short and state.short_of_heat_min >= s.backup_min:
            state.backup_until = minute + BACKUP_STAYS_MIN
        return minute < state.backup_until
