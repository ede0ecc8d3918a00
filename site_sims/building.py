"""A whole simulated building: weather, people, plant, the field on its wires and its own BMS, minute by minute."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from config.roles import Role
from config.site import Device, Fuel, Point, Pv, Site
from config.units import Unit
from drivers.clock import Clock
from site_sims.bms import Bms
from site_sims.field import Field, FieldDevice, FieldObject
from site_sims.occupants import Occupants, Timetable
from site_sims.plant import Commands, only
from site_sims.plant_air import plant_of
from site_sims.rates import Rates
from site_sims.sensors import Instruments, Sensor
from site_sims.truth import BmsTruth, load_truth, site_truth
from site_sims.weather import Column, Weather, minute_of
from site_sims.wiring import COMMANDS, Truths, plant_truths, zone_truths

MINUTE = timedelta(minutes=1)
STEP_H = 1 / 60
NO_LIMIT_KW = 1000.0  # shown by the grid's demand limit until somebody sets one
DEFAULTS = {
    Role.HEATING_SETPOINT: 18.0,
    Role.COOLING_SETPOINT: 26.0,
    Role.SUPPLY_SETPOINT: 16.0,
    Role.OUTDOOR_DAMPER: 20.0,
    Role.TANK_SETPOINT: 40.0,
    Role.FLOW_SETPOINT: 45.0,
    Role.CAPACITY_LIMIT: 100.0,
}


def key_of(point: Point) -> str:
    """A point's id without its building."""
    return point.id.split(".", 1)[1]


def build_field(site: Site) -> Field:
    """The field objects of a site file: addresses, ports, units, limits; writable points are commandable."""
    return Field([_device(device) for device in site.devices])


def _device(device: Device) -> FieldDevice:
    port = int(str(device.options.get("address", ":0")).rpartition(":")[2] or 0) if device.driver == "bacnet" else 0
    objects = {
        key_of(point): FieldObject(
            key=key_of(point),
            address=point.address.partition("#")[0],
            unit=point.unit.value,
            commandable=point.writable,
            default=DEFAULTS.get(point.role, NO_LIMIT_KW if point.role is Role.DEMAND_LIMIT else 0.0),
            low=0.0 if point.unit is Unit.BINARY else point.low,
            high=1.0 if point.unit is Unit.BINARY else point.high,
        )
        for point in device.points
    }
    instance = int(device.options.get("instance", 0))
    return FieldDevice(id=device.id, protocol=device.driver, instance=instance, port=port, objects=objects)


@dataclass(slots=True)
class Registers:
    """Exact energy since the start, kWh; the meters show these rounded down."""

    imported: float = 0.0
    exported: float = 0.0
    gas: float = 0.0
    circuit: float = 0.0
    pv: float = 0.0
    heat_pump: float = 0.0
    heat_pump_heat: float = 0.0
    boiler_heat: float = 0.0
    lighting: float = 0.0
    fan: float = 0.0
    chiller: float = 0.0
    cooling: float = 0.0


class SimulatedBuilding:
    """One building that lives by `step()` or `run(clock)`; the same site, truth, seed and commands give the same life.

    `truth` None takes the truth that ships with the site; `settings` replaces the BMS settings in it. `time` is the
    UTC minute the state belongs to.
    """

    def __init__(
        self,
        site: Site,
        truth: Path | None = None,
        *,
        seed: int,
        start: datetime,
        settings: BmsTruth | None = None,
    ) -> None:
        self.site, self.building = site, site.buildings[0]
        self._kinds = {item.id: item.kind for item in self.building.plant}
        self.truth = site_truth(site.id) if truth is None else load_truth(truth)
        self.minute = minute_of(start.astimezone(UTC))
        pv = only(self.building, Pv)
        tilt, azimuth = (pv.tilt_deg, pv.azimuth_deg) if pv is not None else (20.0, 180.0)
        self.weather = Weather(site.location, seed=seed, pv_tilt_deg=tilt, pv_azimuth_deg=azimuth)
        self.timetable = Timetable(self.building, timezone=site.timezone, calendar=site.calendar)
        self.occupants = Occupants(self.timetable, seed=seed)
        self.rates = Rates(site.tariffs, site.timezone)
        self.plant = plant_of(self.building, self.truth)
        self.field = build_field(site)
        self.registers = Registers()
        self.bms = Bms(
            site, self.field, settings=settings or self.truth.bms, timetable=self.timetable, rates=self.rates
        )
        self.watchers: list[Callable[[SimulatedBuilding], None]] = []  # called after every step
        n = len(self.building.zones)
        self.commands = Commands(
            heating_setpoint=np.full(n, 18.0), light_percent=np.zeros(n), cooling_setpoint=np.full(n, 26.0)
        )
        self._wire_commands()
        self._look_out()
        self._instruments = Instruments(self._sensors(), seed=seed)
        self._instruments.show(self.minute)

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self.minute * 60, UTC)

    def step(self) -> None:
        """Live one minute: the BMS decides, the plant runs on the present values, the instruments show the end."""
        self.bms.step(self.minute)
        self.plant.step(self.commands, self._weather, self._people)
        self._count()
        self.minute += 1
        self._look_out()
        self._instruments.show(self.minute)
        for watcher in self.watchers:
            watcher(self)

    def advance(self, duration: timedelta) -> None:
        """Live whole minutes at once."""
        for _ in range(duration // MINUTE):
            self.step()

    async def run(self, clock: Clock) -> None:
        """Live with the clock, a step at each whole minute, until cancelled."""
        while True:
            await clock.sleep_until(self.time + MINUTE)
            self.step()

    def unplug(self, part: str) -> None:
        """Break a heat pump or boiler, by its plant id; it shows a fault and gives no heat. Raises KeyError."""
        self._machine(part).fault = True
        self._show_faults()

    def mend(self, part: str) -> None:
        """Undo `unplug`."""
        self._machine(part).fault = False
        self._show_faults()

    def snapshot(self) -> dict[str, Any]:
        """A copy of everything that changes, for `restore` into this building or another of the same site."""
        arrays = {obj.key: (list(obj.array), obj.sensed, obj.fault) for obj in self.field}
        state = {"minute": self.minute, "bms": self.bms.state, "registers": self.registers, "field": arrays}
        return copy.deepcopy(state) | {"plant": self.plant.checkpoint()}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Return to a snapshot, bit for bit. Watchers of the field are told of what changed."""
        copied = copy.deepcopy(snapshot)
        self.minute = copied["minute"]
        self._look_out()
        self.plant.restore(copied["plant"])
        self.bms.state, self.registers = copied["bms"], copied["registers"]
        self.bms.forget_day()
        for key, (array, sensed, fault) in copied["field"].items():
            obj = self.field[key]
            obj.fault = fault
            obj.restore(array, sensed)

    def stored_kwh(self) -> dict[str, float]:
        """Heat held above 0 degC: in the tank (nought without one), and in fabric, radiators and pipes."""
        tank = self.plant.tank_kj / 3600
        return {"tank": tank, "fabric": self.plant.stored_kj / 3600 - tank}

    def _look_out(self) -> None:
        self._weather, self._people = self.weather.at(self.minute), self.occupants.people(self.minute)

    def _machine(self, part: str) -> Any:
        return self.plant.machines[self._kinds[part]]

    def _show_faults(self) -> None:
        for point in self.site.by_role(Role.FAULT):
            self.field[key_of(point)].sense(float(self._machine(point.part).fault))

    def _count(self) -> None:
        power, total = self.plant.state.power, self.registers
        net = power.net * STEP_H
        total.imported += max(net, 0.0)
        total.exported += max(-net, 0.0)
        total.gas += power.gas * STEP_H
        total.circuit += power.circuit_heat * STEP_H
        total.pv += power.pv * STEP_H
        total.heat_pump += power.heat_pump * STEP_H
        total.heat_pump_heat += power.heat_pump_heat * STEP_H
        total.boiler_heat += power.boiler_heat * STEP_H
        total.lighting += power.lighting * STEP_H
        total.fan += power.fan * STEP_H
        total.chiller += power.chiller * STEP_H
        total.cooling += power.cooling * STEP_H

    def _wire_commands(self) -> None:
        """Follow the present value of every commandable object, so that a step need not search their slots."""
        index = {zone.id: n for n, zone in enumerate(self.building.zones)}
        arrays = {
            Role.HEATING_SETPOINT: self.commands.heating_setpoint,
            Role.COOLING_SETPOINT: self.commands.cooling_setpoint,
            Role.LIGHT_LEVEL: self.commands.light_percent,
        }
        for point in self.site.points.values():
            if point.role in arrays and point.part in index:
                self._follow_zone(self.field[key_of(point)], arrays[point.role], index[point.part])
            elif (name := COMMANDS.get((point.role, self._kinds.get(point.part, "")))) is not None:
                self._follow(self.field[key_of(point)], name)

    def _follow(self, obj: FieldObject, name: str) -> None:
        def take(changed: FieldObject) -> None:
            setattr(self.commands, name, changed.value)

        obj.watchers.append(take)
        take(obj)

    @staticmethod
    def _follow_zone(obj: FieldObject, values: Any, place: int) -> None:
        def take(changed: FieldObject) -> None:
            values[place] = changed.value

        obj.watchers.append(take)
        take(obj)

    def _sensors(self) -> list[Sensor]:
        found = []
        for point in self.site.points.values():
            truth = None if point.writable else self._truth_of(point)
            if truth is not None:
                found.append(Sensor(self.field[key_of(point)], point.role, truth))
        return found

    def _truth_of(self, point: Point) -> Callable[[], float] | None:
        """Where a sensor's true value comes from; None if the plant has nothing to show there."""
        zones = {zone.id: n for n, zone in enumerate(self.building.zones)}
        if point.part in zones:
            zone = zones[point.part]
            if point.role is Role.OCCUPANCY:
                return lambda: self._people.item(zone)
            return zone_truths(self.plant, zone).get(point.role)
        meters: Truths = {
            (Role.ELECTRICITY_METER, ""): lambda: self.registers.imported,
            (Role.GAS_METER, ""): lambda: self.registers.gas,
            (Role.OUTDOOR_TEMPERATURE, ""): lambda: self._weather.item(Column.OUTDOOR),
            (Role.SOLAR_IRRADIANCE, ""): lambda: self._weather.item(Column.HORIZONTAL),
            (Role.HEAT_METER, "circuit"): lambda: self.registers.circuit,
            (Role.PV_METER, "pv"): lambda: self.registers.pv,
            (Role.ELECTRICITY_METER, "heat_pump"): lambda: self.registers.heat_pump,
            (Role.ELECTRICITY_METER, "chiller"): lambda: self.registers.chiller,
        }
        return (meters | plant_truths(self.plant)).get((point.role, self._kinds.get(point.part, "")))

    def price(self, fuel: Fuel) -> float:
        """Rate in force now, per kWh."""
        return self.rates.at(fuel, self.minute)
