"""Everything that makes, moves and uses heat and electricity in a simulated building, one minute at a time.

Heat pump -> tank -> boiler in line -> one mixed circuit -> radiators with local valve loops and the air handler's
coil, as far as the site file names them. Emitters follow the exponent 1.3 of EN 442 with their own water; a return
header holds what is in the pipes.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from config.site import AirHandler, Boiler, Building, Chiller, HeatPump, Pv, Tank
from site_sims.chiller import ChillerUnit
from site_sims.machines import STEP_S, WATER, BoilerUnit, HeatPumpUnit, TankUnit
from site_sims.physics import AIR_KJ, FabricModel
from site_sims.truth import Truth
from site_sims.weather import Column

Array = NDArray[np.float64]
Kind = TypeVar("Kind", HeatPump, Boiler, Tank, AirHandler, Pv, Chiller)
Machine = HeatPumpUnit | BoilerUnit | ChillerUnit

RATED_K, EXPONENT = 50.0, 1.3
WATER_KJ_PER_KW = 45.0  # water and steel of a radiator, kJ/K by rated kW
DESIGN_SHARE, DESIGN_DROP_K = 0.55, 12.0  # flow that gives this share of the rating with this drop
MEAN_FACTOR = 1.35  # from (flow - mean) to (flow - return) of a radiator
HEADER_KG = 260.0
GAIN_PER_K, RESET_MIN = 0.6, 60.0  # local valve loops: proportional band 1.7 K
VALVE_LAG = 0.4  # of the way a minute, thermal actuators
PUMP_IDLE_KW, PUMP_KW = 0.08, 0.55
COIL_KW_PER_K, COIL_DROP_K, SUPPLY_DEGC = 0.6, 12.0, 20.0
CO2_OUTDOOR, CO2_M3_S = 420.0, 5.0e-6  # ppm; by person at rest
LIGHT_LEAST, LIGHT_INSIDE = 0.04, 0.8  # drivers' own draw; share of the heat that stays in the room
PV_PERFORMANCE, PV_PER_K, PV_HEATING = 0.86, 0.004, 0.03


@dataclass(slots=True)
class Commands:
    """What the field tells the plant; zones in the building's order."""

    heating_setpoint: Array
    light_percent: Array
    heat_pump_enable: float = 1.0
    heat_pump_percent: float = 100.0
    tank_setpoint: float = 45.0
    boiler_enable: float = 0.0
    flow_setpoint: float = 45.0
    fan_percent: float = 0.0
    cooling_setpoint: Array = field(default_factory=lambda: np.empty(0))  # this and the rest in an all-air building
    supply_setpoint: float = 16.0
    outdoor_damper_percent: float = 20.0
    chiller_enable: float = 0.0


@dataclass(slots=True)
class Power:
    """Last minute's powers, kW: electricity used, made and bought, gas on gross calorific value, heat."""

    always_on: float = 0.0
    plugs: float = 0.0
    lighting: float = 0.0
    heat_pump: float = 0.0
    auxiliaries: float = 0.0  # pump, fan, boiler's electricity
    fan: float = 0.0
    chiller: float = 0.0
    pv: float = 0.0
    gas: float = 0.0
    heat_pump_heat: float = 0.0
    boiler_heat: float = 0.0
    cooling: float = 0.0  # sensible heat that the cooling coil takes from the air
    circuit_heat: float = 0.0  # into the circuit, by its heat meter
    ventilation: float = 0.0  # heat lost with exhaust air, after recovery
    gains: float = 0.0  # people, lights and equipment, inside

    @property
    def net(self) -> float:
        """Import positive, export negative."""
        return self.always_on + self.plugs + self.lighting + self.heat_pump + self.auxiliaries + self.chiller - self.pv


@dataclass(slots=True)
class PlantState:
    """What a checkpoint has to hold besides fabric and machines."""

    valve: Array
    integral: Array
    emitter: Array  # water temperature, degC
    header: float = 30.0  # return header, degC
    flow: float = 30.0  # flow temperature, degC
    supply_air: float = 18.0
    co2: float = CO2_OUTDOOR
    power: Power = field(default_factory=Power)


class Plant:
    """The machines and the fabric of one building; `step` advances a minute."""

    def __init__(self, building: Building, truth: Truth) -> None:
        self.zones = building.zones
        self.fabric = FabricModel(building.zones, truth)
        pump, boiler, tank = only(building, HeatPump), only(building, Boiler), only(building, Tank)
        if (pump is None) != (tank is None) or (pump is None and boiler is None):
            raise TypeError(f"{building.id}: the simulated plant needs a boiler, or a heat pump with its tank, or both")
        self.heat_pump = None if pump is None else HeatPumpUnit(pump.heat_kw, pump.cop, pump.auxiliary_kw)
        self.boiler = None if boiler is None else BoilerUnit(boiler.heat_kw)
        self.tank = None if tank is None else TankUnit(tank.volume_litres, tank.loss_w_per_k / 1000)
        self.ahu, pv = only(building, AirHandler), only(building, Pv)
        self.pv_kw = 0.0 if pv is None else pv.peak_kw
        ids = [zone.id for zone in building.zones]
        self.aired = None if self.ahu is None else ids.index(self.ahu.serves[0])  # the zone with fan and CO2 sensor
        rated = np.array([zone.emitter_kw or 1e-6 for zone in building.zones])
        self._emission = rated / RATED_K**EXPONENT
        self._per_k = rated * DESIGN_SHARE / DESIGN_DROP_K  # kW/K of water flow with the valve open
        self._full_flow = float(self._per_k.sum())
        self._bypass = 0.0  # kW/K of water that goes round without passing an emitter
        self._water = rated * WATER_KJ_PER_KW / STEP_S  # kW/K
        self._lights = np.array([zone.lighting_kw for zone in building.zones])
        area = np.array([zone.area_m2 for zone in building.zones])
        gains, rows = truth.gains, [truth.zones[zone.id] for zone in building.zones]
        self._always_kw = gains.always_on_kw
        self._always = area / area.sum() * gains.always_on_kw * gains.always_on_share_inside
        self._plug_w = np.array([row.plug_w_per_person or gains.plug_w_per_person for row in rows])  # by person
        plug_inside = self._plug_w * np.array([row.plug_share_inside for row in rows])
        self._person_kw = (gains.person_w + plug_inside) / 1000  # warmth that comes with a person
        n = len(ids)
        self.state = PlantState(valve=np.zeros(n), integral=np.zeros(n), emitter=np.full(n, 25.0))

    @property
    def stored_kj(self) -> float:
        """Heat in fabric, radiators, pipes and tank above 0 degC."""
        water = float(self._water @ self.state.emitter) * STEP_S + HEADER_KG * WATER * self.state.header
        return self.fabric.stored_kj + self.tank_kj + water

    @property
    def tank_kj(self) -> float:
        """Heat in the tank above 0 degC; nought without one."""
        return 0.0 if self.tank is None else self.tank.stored_kj

    @property
    def machines(self) -> dict[str, Machine]:
        """What starts, stops and breaks, by the kind of plant it is."""
        units: dict[str, Machine | None] = {"heat_pump": self.heat_pump, "boiler": self.boiler}
        return {kind: unit for kind, unit in units.items() if unit is not None}

    def checkpoint(self) -> dict[str, Any]:
        """A copy of everything that changes."""
        units = (self.heat_pump, self.boiler, self.tank)
        fabric = (self.fabric.temperature, self.fabric.leak_m3_s)
        return copy.deepcopy({"units": units, "state": self.state, "fabric": fabric})

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Return to a checkpoint, bit for bit."""
        copied = copy.deepcopy(checkpoint)
        self.heat_pump, self.boiler, self.tank = copied["units"]
        self.state = copied["state"]
        self.fabric.temperature, self.fabric.leak_m3_s = copied["fabric"]

    def step(self, commands: Commands, weather: Array, people: Array) -> None:
        """One minute under these commands, this weather and these people (by zone)."""
        state, air, power = self.state, self.fabric.air, Power()
        outdoor = float(weather[Column.OUTDOOR])
        self._move_valves(commands.heating_setpoint - air)
        airflow, to_air, coil_kw = self._ventilate(commands, outdoor, power)
        heat_kw = self._circulate(commands, coil_kw, power)
        if self.heat_pump is not None and self.tank is not None:
            self.heat_pump.step(
                enable=commands.heat_pump_enable > 0.5,
                limit=commands.heat_pump_percent / 100,
                setpoint=commands.tank_setpoint,
                tank=self.tank,
                outdoor=outdoor,
            )
            self.tank.settle()
            power.heat_pump, power.heat_pump_heat = self.heat_pump.electricity_kw, self.heat_pump.heat_kw
        share = np.minimum(np.maximum(commands.light_percent, 0.0), 100.0) / 100
        lights = self._lights * np.where(share > 0, LIGHT_LEAST + (1 - LIGHT_LEAST) * share, 0.0)
        inside = people * self._person_kw + lights * LIGHT_INSIDE + self._always
        power.gains = float(inside.sum())
        self._breathe(airflow, people)
        self.fabric.step(weather, inside_kw=heat_kw + inside, air_kw=to_air, people=people)
        sun = float(weather[Column.PV])
        cell = outdoor + PV_HEATING * sun
        power.pv = self.pv_kw * sun / 1000 * PV_PERFORMANCE * (1 - PV_PER_K * (cell - 25))
        power.always_on, power.plugs = self._always_kw, float(people @ self._plug_w) / 1000
        power.lighting = float(lights.sum())
        if self.boiler is not None:
            power.auxiliaries += self.boiler.electricity_kw
            power.gas, power.boiler_heat = self.boiler.gas_kw, self.boiler.heat_kw
        state.power = power

    def _move_valves(self, error: Array) -> None:
        state = self.state
        wanted = GAIN_PER_K * error + state.integral
        moving = (wanted > 0) & (wanted < 1)  # the integral rests while the valve is at an end
        state.integral = state.integral + np.where(moving, GAIN_PER_K * error / RESET_MIN, -0.02 * state.integral)
        state.valve = state.valve + VALVE_LAG * (np.minimum(np.maximum(wanted, 0.0), 1.0) - state.valve)
        state.valve[state.valve < 0.01] = 0.0

    def _ventilate(self, commands: Commands, outdoor: float, power: Power) -> tuple[float, Array, float]:
        """Outdoor air m3/s, heat to each zone's air, and the heat that coils take from the circuit."""
        state, to_air, percent = self.state, np.zeros(len(self.zones)), commands.fan_percent
        if self.ahu is None or self.aired is None:
            return 0.0, to_air, 0.0
        room = float(self.fabric.air[self.aired])
        if percent < 5:
            state.supply_air += 0.05 * (room - state.supply_air)
            return 0.0, to_air, 0.0
        speed = min(percent, 100.0) / 100
        flow = self.ahu.airflow_m3_per_s * speed
        per_k = AIR_KJ * flow
        recovered = outdoor + self.ahu.heat_recovery * max(room - outdoor, 0.0)
        coil = min(per_k * max(SUPPLY_DEGC - recovered, 0.0), COIL_KW_PER_K * max(state.flow - recovered - 5.0, 0.0))
        state.supply_air = recovered + coil / per_k
        to_air[self.aired] = per_k * (state.supply_air - room)
        power.ventilation = coil - to_air[self.aired]
        power.fan = 0.02 + self.ahu.fan_kw * speed**3
        power.auxiliaries += power.fan
        return flow, to_air, coil

    def _circulate(self, commands: Commands, coil_kw: float, power: Power) -> Array:
        """Water round the circuit: mix from the tank, top up by the boiler, give to the radiators. Heat by zone."""
        state, air = self.state, self.fabric.air
        per_k = self._per_k * state.valve
        radiators, coil = float(per_k.sum()), coil_kw / COIL_DROP_K
        total = radiators + coil + self._bypass  # kW/K of water moving
        back, flow_kg_s = state.header, total / WATER
        given = boiler = 0.0
        if total > 0:
            given = self._draw(commands.flow_setpoint, flow_kg_s)
            entering = back + given / total
        else:
            entering = state.flow + 0.02 * (18.0 - state.flow)
        if self.boiler is not None:
            boiler = self.boiler.step(
                enable=commands.boiler_enable > 0.5,
                setpoint=commands.flow_setpoint,
                flow_kg_s=flow_kg_s,
                entering=entering,
                back=back,
            )
        state.flow = flow = entering + boiler / total if total > 0 else entering
        reach = per_k * MEAN_FACTOR
        apart = np.abs(state.emitter - air) + 0.01
        output = self._emission * apart ** (EXPONENT - 1)
        state.emitter = (self._water * state.emitter + reach * flow + output * air) / (self._water + reach + output)
        heat = output * (state.emitter - air)
        if total > 0:
            taken = float((reach * (flow - state.emitter)).sum()) + coil_kw
            state.header += STEP_S / (HEADER_KG * WATER) * (total * (flow - back) - taken)
            share = min(total / self._full_flow, 1.0)
            power.auxiliaries += PUMP_IDLE_KW + PUMP_KW * share**2
            power.circuit_heat = given + boiler
        return np.asarray(heat)

    def _draw(self, flow_setpoint: float, flow_kg_s: float) -> float:
        """Heat from the tank, kW.

        The mixing valve blends return water into a hotter tank; a tank colder than the return is bypassed.
        """
        if self.tank is None:
            return 0.0
        back, top = self.state.header, self.tank.layers[0]
        drawn = min(max((flow_setpoint - back) / (top - back), 0.0), 1.0) if top > back + 0.5 else 0.0
        return self.tank.discharge(flow_kg_s * drawn, back) if drawn > 0 else 0.0

    def co2(self, zone: int) -> float:
        """Of a zone's air, ppm; the ventilated zone's, where only that is known."""
        del zone
        return self.state.co2

    def _breathe(self, airflow: float, people: Array) -> None:
        """CO2 of the ventilated zone, an exact step of its mass balance."""
        if (zone := self.aired) is None:
            return
        fresh = airflow + float(self.fabric.leak_m3_s[zone]) + 1e-4
        settled = CO2_OUTDOOR + float(people[zone]) * CO2_M3_S * 1e6 / fresh
        volume = float(self.fabric.volume_m3[zone])
        self.state.co2 = settled + (self.state.co2 - settled) * float(np.exp(-fresh * STEP_S / volume))


def only(building: Building, kind: type[Kind]) -> Kind | None:
    """The building's machine of this kind; None without one. Raises TypeError if there are several."""
    found = [item for item in building.plant if isinstance(item, kind)]
    if len(found) > 1:
        raise TypeError(f"{building.id}: {found[1].id}: the simulated plant has one {found[1].kind} at most")
    return found[0] if found else None
