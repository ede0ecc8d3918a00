"""The air side's programme: cooling setpoints, fan, supply air reset by weather and demand, economiser, chiller."""

from collections.abc import Sequence

from config.roles import Role
from config.site import AirBox, AirHandler, Building
from site_sims.bms_points import Points, put
from site_sims.field import FieldObject
from site_sims.truth import BmsTruth

DEAD_BAND_K = 2.0
COLD_DEGC, WARM_DEGC = 12.0, 22.0  # outdoors, between which the supply air is reset
OPEN_PERCENT, WIDE_PERCENT = 35.0, 85.0  # a box that asks for cooling, and for colder air
TRIM_K, MOST_TRIM_K = 0.5, 3.0
SHORT_K = 1.5  # below its setpoint: the fan runs at night as well
ECONOMISER_K = 2.0  # outdoor air is so much cooler than the rooms


class AirProgram:
    """Writes the air side's points; nothing but field values goes in, so it has no state of its own to keep."""

    def __init__(self, wires: Points, building: Building, ahu: AirHandler, settings: BmsTruth) -> None:
        self._settings = settings
        zones = [zone.id for zone in building.zones]
        self._heating = [wires.find(Role.HEATING_SETPOINT, zone) for zone in zones]
        self._cooling = [wires.find(Role.COOLING_SETPOINT, zone) for zone in zones]
        self._degc = [wires.find(Role.ZONE_TEMPERATURE, zone) for zone in zones]
        self._box = [wires.find(Role.DAMPER_POSITION, zone) for zone in zones]
        self._fan, self._damper = wires.find(Role.FAN_SPEED, ahu.id), wires.find(Role.OUTDOOR_DAMPER, ahu.id)
        self._supply = wires.find(Role.SUPPLY_SETPOINT, ahu.id)
        self._chiller = wires.of(Role.ENABLE, "chiller")

    def run(self, *, called: Sequence[bool], occupied: bool, warming: bool, outdoor: float, summer: bool) -> None:
        """Five minutes: `called` by zone, in its hours or on the way to them; `warming`: a zone is 1 K short."""
        s = self._settings
        for heating, cooling, due in zip(self._heating, self._cooling, called, strict=True):
            put(cooling, max(s.cooling_degc if due else s.set_up_degc, heating.value + DEAD_BAND_K))
        short = any(d.sensed < h.value - SHORT_K for d, h in zip(self._degc, self._heating, strict=True))
        runs = any(called) or (short and not summer)
        put(self._fan, s.fan_percent if runs else 0.0)
        hot = self._hottest()
        supply = self._reset(outdoor, hot, warm=warming and not occupied)
        put(self._supply, supply)
        damper = self._outdoor_air(outdoor, supply, occupied=occupied, runs=runs)
        put(self._damper, damper)
        if self._chiller is not None:
            free = outdoor < s.free_cooling_below_degc
            put(self._chiller, 1.0 if runs and hot > 0 and not free else 0.0)

    def _hottest(self) -> float:
        """How far the zone that asks most for cooling lies above its setpoint with its box open, K; 0 = none."""
        rows = zip(self._degc, self._cooling, self._box, strict=True)
        over = [d.sensed - c.value + 0.5 for d, c, box in rows if box.sensed >= OPEN_PERCENT or d.sensed > c.value]
        return max([0.0, *over])

    def _reset(self, outdoor: float, hot: float, *, warm: bool) -> float:
        s = self._settings
        if warm:
            return s.supply_warm_degc
        share = min(max((outdoor - COLD_DEGC) / (WARM_DEGC - COLD_DEGC), 0.0), 1.0)
        wide = any(_cools(box, degc, sp) for box, degc, sp in zip(self._box, self._degc, self._cooling, strict=True))
        usual = s.supply_high_degc + share * (s.supply_low_degc - s.supply_high_degc)
        trim = min(MOST_TRIM_K, hot + TRIM_K) if wide else 0.0
        return round(max(usual - trim, s.supply_low_degc) * 2) / 2

    def _outdoor_air(self, outdoor: float, supply: float, *, occupied: bool, runs: bool) -> float:
        """Per cent of outdoor air: the least while people are due, more where it cools for nothing."""
        least = self._settings.fresh_percent if occupied else 0.0
        if not runs:
            return 0.0
        room = sum(obj.sensed for obj in self._degc) / len(self._degc)
        if outdoor > room - ECONOMISER_K or supply >= room:
            return least
        return float(round(min(100.0, max(least, 100 * (room - supply) / (room - outdoor)))))


def _cools(box: FieldObject, degc: FieldObject, setpoint: FieldObject) -> bool:
    return box.sensed > WIDE_PERCENT and degc.sensed > setpoint.value


def air_program(wires: Points, building: Building, ahu: AirHandler | None, settings: BmsTruth) -> AirProgram | None:
    """The programme of an all-air building; None elsewhere."""
    if ahu is None or not any(isinstance(item, AirBox) for item in building.plant):
        return None
    return AirProgram(wires, building, ahu, settings)
