"""An all-air building: one air handler with economiser, heating and cooling coil; a box with reheat for every zone.

Return and outdoor air are mixed, the fan warms the mixture, a coil brings it to the supply setpoint. Each box opens
for cooling, and to a part for heating while its reheat valve opens. Boiler and pipes are those of every plant.
"""

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.site import AirBox, Building, Chiller
from site_sims.chiller import ChillerUnit
from site_sims.machines import STEP_S
from site_sims.physics import AIR_KJ
from site_sims.plant import (
    CO2_M3_S,
    CO2_OUTDOOR,
    COIL_DROP_K,
    GAIN_PER_K,
    RATED_K,
    RESET_MIN,
    Commands,
    Machine,
    Plant,
    Power,
    only,
)
from site_sims.truth import Truth

Array = NDArray[np.float64]

COIL_KW_PER_K = 0.75  # of the air handler's heating coil, by m3/s
APPROACH_K = 5.0  # water stays so far above the air it heats
HOTTEST_DEGC = 38.0  # air that still comes down from the ceiling
HEATING_SHARE = 0.5  # a box opens so far for heating
BOX_LAG = 0.5  # of the way a minute
FAN_EXPONENT, FAN_HEAT = 2.4, 0.9  # share of its electricity that ends up in the air
LATENT = 1.15  # cooling by sensible cooling: water that condenses on the coil
LEAK_SHARE = 0.03  # outdoor air through a shut damper
BYPASS_SHARE = 0.08  # of the full flow of water, while a coil calls for heat
STOPPED_PERCENT = 5.0


@dataclass(slots=True)
class AirState:
    """What a checkpoint has to hold of the air side."""

    box: Array  # cooling signals, 0 to 1
    integral: Array
    flow: Array  # m3/s
    full: Array
    co2: Array
    fresh_share: float = 0.0  # outdoor air in what is supplied

    def opening(self, zone: int) -> float:
        """Of a zone's box, 0 to 1."""
        return self.flow.item(zone) / self.full.item(zone)


class AllAirPlant(Plant):
    """A plant whose zones are heated and cooled by air."""

    def __init__(self, building: Building, truth: Truth) -> None:
        super().__init__(building, truth)
        boxes = {item.serves[0]: item for item in building.plant if isinstance(item, AirBox)}
        if self.ahu is None or self.boiler is None or boxes.keys() != {zone.id for zone in building.zones}:
            raise TypeError(
                f"{building.id}: the simulated all-air plant needs an air handler, a boiler and a box a zone"
            )
        chiller = only(building, Chiller)
        self.chiller = None if chiller is None else ChillerUnit(chiller.cool_kw, chiller.cop, chiller.auxiliary_kw)
        rows = [boxes[zone.id] for zone in building.zones]
        full = np.array([row.airflow_m3_per_s for row in rows])
        self._least = np.array([row.least_share for row in rows])
        self._reheat = np.array([row.reheat_kw for row in rows]) / RATED_K  # kW/K
        self._airflow, self._fan_kw, self._recovery = self.ahu.airflow_m3_per_s, self.ahu.fan_kw, self.ahu.heat_recovery
        self._coil = COIL_KW_PER_K * self._airflow
        self._full_flow = (float(self._reheat.sum()) + self._coil) * RATED_K / COIL_DROP_K
        n = len(rows)
        self.air = AirState(
            box=np.zeros(n), integral=np.zeros(n), flow=np.zeros(n), full=full, co2=np.full(n, CO2_OUTDOOR)
        )

    @property
    def machines(self) -> dict[str, Machine]:
        """What starts, stops and breaks, by the kind of plant it is."""
        return super().machines | ({} if self.chiller is None else {"chiller": self.chiller})

    def checkpoint(self) -> dict[str, Any]:
        """A copy of everything that changes."""
        return super().checkpoint() | {"air": copy.deepcopy((self.chiller, self.air))}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Return to a checkpoint, bit for bit."""
        super().restore(checkpoint)
        self.chiller, self.air = copy.deepcopy(checkpoint["air"])

    def co2(self, zone: int) -> float:
        """Of a zone's air, ppm."""
        return self.air.co2.item(zone)

    def _move_boxes(self, error: Array) -> None:
        air = self.air
        wanted = GAIN_PER_K * error + air.integral
        moving = (wanted > 0) & (wanted < 1)  # the integral rests while the box is at an end
        air.integral = air.integral + np.where(moving, GAIN_PER_K * error / RESET_MIN, -0.02 * air.integral)
        air.box = air.box + BOX_LAG * (np.clip(wanted, 0.0, 1.0) - air.box)
        air.box[air.box < 0.01] = 0.0

    def _share_out(self, percent: float) -> Array:
        """Airflow by zone, m3/s: what the boxes let through, within what the fan may give."""
        state, air = self.state, self.air
        if percent < STOPPED_PERCENT:
            return np.zeros_like(air.full)
        cools = self.fabric.air > state.supply_air + 1.0
        cooling = self._least + (1 - self._least) * np.where(cools, air.box, 0.0)
        heating = self._least + np.maximum(HEATING_SHARE - self._least, 0.0) * state.valve
        asked = air.full * np.maximum(cooling, heating)
        most = min(percent, 100.0) / 100 * self._airflow
        return np.asarray(asked * min(1.0, most / float(asked.sum())))

    def _ventilate(self, commands: Commands, outdoor: float, power: Power) -> tuple[float, Array, float]:
        state, air, room = self.state, self.air, self.fabric.air
        self._move_boxes(room - commands.cooling_setpoint)
        air.flow = self._share_out(commands.fan_percent)
        total = float(air.flow.sum())
        if total == 0.0:
            air.fresh_share = self._bypass = 0.0
            state.supply_air += 0.05 * (float(room.mean()) - state.supply_air)
            self._cool(0.0, commands, outdoor, power)
            return 0.0, np.zeros_like(room), 0.0
        per_k = AIR_KJ * air.flow
        stream, back = AIR_KJ * total, float(air.flow @ room) / total
        air.fresh_share = min(max(commands.outdoor_damper_percent / 100, LEAK_SHARE), 1.0)
        fresh = outdoor + self._recovery * max(back - outdoor, 0.0)
        power.fan = self._fan_kw * (total / self._airflow) ** FAN_EXPONENT
        power.auxiliaries += power.fan
        fan_heat = FAN_HEAT * power.fan
        entering = back + air.fresh_share * (fresh - back) + fan_heat / stream
        wanted = stream * (commands.supply_setpoint - entering)
        coil = min(max(wanted, 0.0), self._coil * max(state.flow - entering - APPROACH_K, 0.0))
        cooled = self._cool(max(-wanted, 0.0), commands, outdoor, power)
        state.supply_air = supply = entering + (coil - cooled) / stream
        reheat = self._reheat * state.valve * max(state.flow - supply - APPROACH_K, 0.0)
        reheat = np.minimum(reheat, per_k * max(HOTTEST_DEGC - supply, 0.0))
        to_air = per_k * (supply - room) + reheat
        heated = coil + float(reheat.sum())
        power.ventilation = stream * air.fresh_share * (back - fresh)
        calls = wanted > 1.0 or float(state.valve.max()) > 0.01
        self._bypass = BYPASS_SHARE * self._full_flow if calls else 0.0
        return total * air.fresh_share, to_air, heated

    def _cool(self, wanted_kw: float, commands: Commands, outdoor: float, power: Power) -> float:
        """Sensible heat that the cooling coil takes from the air, kW."""
        if self.chiller is None:
            return 0.0
        enable = commands.chiller_enable > 0.5
        power.cooling = self.chiller.step(enable=enable, wanted_kw=wanted_kw * LATENT, outdoor=outdoor) / LATENT
        power.chiller = self.chiller.electricity_kw
        return power.cooling

    def _breathe(self, airflow: float, people: Array) -> None:
        """CO2 of every zone: supply air is outdoor air and what all zones gave back."""
        del airflow
        air = self.air
        total = float(air.flow.sum())
        returned = float(air.flow @ air.co2) / total if total > 0 else CO2_OUTDOOR
        supplied = returned + air.fresh_share * (CO2_OUTDOOR - returned)
        leak = self.fabric.leak_m3_s + 1e-4
        changed = air.flow + leak
        settled = (air.flow * supplied + leak * CO2_OUTDOOR + people * CO2_M3_S * 1e6) / changed
        air.co2 = settled + (air.co2 - settled) * np.exp(-changed * STEP_S / self.fabric.volume_m3)


def plant_of(building: Building, truth: Truth) -> Plant:
    """The plant that the site file names."""
    all_air = any(isinstance(item, AirBox) for item in building.plant)
    return AllAirPlant(building, truth) if all_air else Plant(building, truth)
