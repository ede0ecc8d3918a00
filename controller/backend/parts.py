"""Zones, plant and devices as the pages show them, from the newest readings and the plan in force."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from config.roles import Role
from config.site import AirBox, AirHandler, Boiler, Chiller, Circuit, Device, HeatPump, Plant, Point, Pv, Tank, Zone
from controller.backend.holds import amount
from controller.naming import Names
from controller.outcome import PointStatus
from controller.service import Service
from controller.supervisor import Link
from controller.validation.reasons import reasons
from controller.web.view import DeviceView, Hold, PlantView, Tone, ZoneView
from drivers.base import Quality
from optimiser.problem import Plan

LOOK_AHEAD = timedelta(hours=12)
SOON = timedelta(hours=1)
RUNS_FROM_KW = 0.5
CHARGES_K = 0.3  # rise of a tank within two quarter hours that counts as charging
TELLING = (Role.HEAT_OUTPUT, Role.TANK_TEMPERATURE, Role.PV_POWER, Role.FAN_SPEED, Role.FLOW_TEMPERATURE, Role.RUNNING)

Holds = Callable[[Point], Hold]
Statuses = Callable[[], Mapping[str, PointStatus]]


class Parts:
    """Views of the parts of one site; `holds` says who holds a writable point, `statuses` what was last seen there."""

    def __init__(self, service: Service, names: Names, *, holds: Holds, statuses: Statuses) -> None:
        self._service, self._names, self._holds, self._statuses = service, names, holds, statuses
        self._points = {(p.role, p.part): p for p in reversed(list(service.site.points.values()))}
        self._lights = {p.part: p for p in service.site.by_role(Role.LIGHT_LEVEL)}

    def zones(self, now: datetime, plan: Plan | None) -> tuple[ZoneView, ...]:
        """Every zone, in order of the site file."""
        return tuple(
            self._zone(zone, now, plan) for building in self._service.site.buildings for zone in building.zones
        )

    def plant(self, now: datetime) -> tuple[PlantView, ...]:
        """Every machine, in order of the site file."""
        return tuple(
            replace(self._machine(plant, now), point=self._telling(plant))
            for building in self._service.site.buildings
            for plant in building.plant
        )

    def _telling(self, plant: Plant) -> str | None:
        """The point of a machine whose history says most of it."""
        found = (self._points.get((role, plant.id)) for role in TELLING)
        return next((point.id for point in found if point is not None), None)

    def devices(self) -> tuple[DeviceView, ...]:
        """Every device, in order of the site file."""
        return tuple(_device(device, self._service.links[device.id]) for device in self._service.site.devices)

    def value(self, role: Role, part: str, now: datetime) -> float | None:
        """The fresh value of a part's point; None if there is none."""
        point = self._points.get((role, part))
        return None if point is None else self.present(point, now)

    def present(self, point: Point, now: datetime) -> float | None:
        """The fresh value of a point: what a poll saw, or a later look after a command; None if there is none."""
        status, reading = self._statuses().get(point.id), self._service.state.reading(point.id)
        seen_later = (
            status is not None and status.since is not None and (reading is None or status.since >= reading.time)
        )
        if seen_later and status is not None and status.value is not None:
            return status.value
        return self._service.state.value(point.id, now)

    def quality(self, point: Point, now: datetime) -> Quality:
        """How good the newest reading is now."""
        return self._service.state.quality(point.id, now)

    def doubt(self, point: Point) -> str:
        """What a point shows that is not believed, and why; empty if there is no such thing."""
        reading = self._service.state.reading(point.id)
        if reading is None or reading.value is None or reading.quality is not Quality.SUSPECT:
            return ""
        return f"{amount(point, reading.value)}: {reasons(reading.flags)}"

    def _zone(self, zone: Zone, now: datetime, plan: Plan | None) -> ZoneView:
        state, sensor = self._service.state, self._points.get((Role.ZONE_TEMPERATURE, zone.id))
        setpoint = self._points.get((Role.HEATING_SETPOINT, zone.id))
        occupied = self._service.occupancy.occupied(zone.id, now)
        band = zone.comfort.occupied if occupied else zone.comfort.unoccupied
        age_s = None if sensor is None else state.age_s(sensor.id, now)
        foretold, at = self._foretold(zone, now, plan)
        writable = setpoint is not None and setpoint.writable
        held = self._holds(setpoint) if setpoint is not None and writable else None
        limits = (12.0, 23.5)
        if setpoint is not None and setpoint.low is not None and setpoint.high is not None:
            limits = (setpoint.low, setpoint.high)
        return ZoneView(
            id=zone.id,
            name=self._names.part(zone.id),
            temperature_degc=None if sensor is None else state.last_value(sensor.id),
            low_degc=band.low,
            high_degc=band.high,
            occupied=occupied,
            setpoint_degc=None if setpoint is None else self.present(setpoint, now),
            setpoint_point=setpoint.id if setpoint is not None and writable else None,
            limits_degc=limits,
            predicted_degc=foretold,
            predicted_at=at,
            co2_ppm=self.value(Role.CO2, zone.id, now),
            light_percent=self.value(Role.LIGHT_LEVEL, zone.id, now),
            people=self.value(Role.OCCUPANCY, zone.id, now),
            hold=held,
            reason="" if held is None else self._names.words(held.reason),
            age=None if age_s is None else timedelta(seconds=age_s),
            quality=Quality.BAD if sensor is None else self.quality(sensor, now),
            temperature_point=None if sensor is None else sensor.id,
        )

    def _foretold(self, zone: Zone, now: datetime, plan: Plan | None) -> tuple[float | None, datetime | None]:
        """What the plan expects when people come, else in an hour."""
        series = None if plan is None else plan.series.get(f"temperature:{zone.id}")
        if series is None:
            return None, None
        start = self._service.occupancy.next_start(zone.id, now)
        when = start if start is not None and now < start <= now + LOOK_AHEAD else now + SOON
        step = (when - series.start) // series.step - 1  # the value at the end of the step before
        if not 0 <= step < len(series.values):
            return None, None
        return series.values[step], series.start + (step + 1) * series.step

    def _machine(self, plant: Plant, now: datetime) -> PlantView:
        match plant:
            case HeatPump() | Boiler() | Chiller():
                return self._source(plant, now)
            case Tank():
                return self._tank(plant, now)
            case Circuit():
                return self._circuit(plant, now)
            case AirHandler():
                return self._fan(plant, now)
            case AirBox():
                return self._box(plant, now)
            case Pv():
                kw = self.value(Role.PV_POWER, plant.id, now)
                word, tone = ("No reading", Tone.WARN) if kw is None else ("Dark", Tone.OFF)
                if kw is not None and kw > 0:
                    word, tone = "Giving", Tone.GOOD
                return PlantView(
                    id=plant.id, name=self._name(plant), word=word, tone=tone, output_kw=kw, output_of="electricity"
                )

    def _name(self, plant: Plant) -> str:
        return self._names.part(plant.id)

    def _held(self, role: Role, part: str) -> Hold | None:
        point = self._points.get((role, part))
        return self._holds(point) if point is not None and point.writable else None

    def _source(self, plant: HeatPump | Boiler | Chiller, now: datetime) -> PlantView:
        fault = self.value(Role.FAULT, plant.id, now)
        enabled = self.value(Role.ENABLE, plant.id, now)
        running = self.value(Role.RUNNING, plant.id, now)
        heat_kw = self.value(Role.HEAT_OUTPUT, plant.id, now)
        runs = running == 1.0 if running is not None else (heat_kw or 0.0) > RUNS_FROM_KW
        if fault:
            word, tone = "Fault", Tone.BAD
        elif running is None and heat_kw is None:
            word, tone = "No reading", Tone.WARN
        elif runs:
            word, tone = "Running", Tone.GOOD
        else:
            word, tone = ("Ready", Tone.NOTE) if enabled else ("Off", Tone.OFF)
        used_kw = self.value(Role.ELECTRICITY_POWER, plant.id, now)
        text = ""
        if runs and used_kw and heat_kw:
            text = f"{used_kw:.1f} kW electricity, {heat_kw / used_kw:.1f} times as much heat"
        return PlantView(
            id=plant.id, name=self._name(plant), word=word, tone=tone, output_kw=heat_kw, text=text,
            hold=self._held(Role.ENABLE, plant.id),
        )  # fmt: skip

    def _tank(self, plant: Tank, now: datetime) -> PlantView:
        degc = self.value(Role.TANK_TEMPERATURE, plant.id, now)
        sensor = self._points.get((Role.TANK_TEMPERATURE, plant.id))
        before = [] if sensor is None else self._service.history.column(sensor.id, 2).tolist()
        rise = 0.0 if degc is None or not before else degc - before[0]
        word, tone = ("No reading", Tone.WARN) if degc is None else ("Resting", Tone.OFF)
        if rise > CHARGES_K:
            word, tone = "Charging", Tone.GOOD
        elif rise < -CHARGES_K:
            word, tone = "Giving heat", Tone.GOOD
        share = None if degc is None else min(max((degc - plant.low) / (plant.high - plant.low), 0.0), 1.0)
        return PlantView(
            id=plant.id, name=self._name(plant), word=word, tone=tone, temperature_degc=degc, share=share,
            hold=self._held(Role.TANK_SETPOINT, plant.id),
        )  # fmt: skip

    def _circuit(self, plant: Circuit, now: datetime) -> PlantView:
        heat_kw = self.value(Role.HEAT_OUTPUT, plant.id, now)
        degc = self.value(Role.FLOW_TEMPERATURE, plant.id, now)
        wanted = self.value(Role.FLOW_SETPOINT, plant.id, now)
        warm = heat_kw is not None and heat_kw > RUNS_FROM_KW
        word, tone = ("Giving heat", Tone.GOOD) if warm else ("Resting", Tone.OFF)
        if degc is None and heat_kw is None:
            word, tone = "No reading", Tone.WARN
        return PlantView(
            id=plant.id, name=self._name(plant), word=word, tone=tone, output_kw=heat_kw, temperature_degc=degc,
            text="" if wanted is None else f"set to {wanted:.1f} °C", hold=self._held(Role.FLOW_SETPOINT, plant.id),
        )  # fmt: skip

    def _box(self, plant: AirBox, now: datetime) -> PlantView:
        percent = self.value(Role.DAMPER_POSITION, plant.serves[0], now)
        word, tone = ("No reading", Tone.WARN) if percent is None else ("Shut", Tone.OFF)
        if percent:
            word, tone = "Open", Tone.GOOD
        share = None if percent is None else percent / 100
        return PlantView(id=plant.id, name=self._name(plant), word=word, tone=tone, share=share)

    def _fan(self, plant: AirHandler, now: datetime) -> PlantView:
        percent = self.value(Role.FAN_SPEED, plant.id, now)
        word, tone = ("No reading", Tone.WARN) if percent is None else ("Off", Tone.OFF)
        if percent:
            word, tone = "Running", Tone.GOOD
        return PlantView(
            id=plant.id, name=self._name(plant), word=word, tone=tone,
            share=None if percent is None else percent / 100, hold=self._held(Role.FAN_SPEED, plant.id),
        )  # fmt: skip


def address(device: Device) -> str:
    """Where a device is, as its options say."""
    options = device.options
    if "address" in options:
        return str(options["address"])
    if "host" in options:
        return f"{options['host']}:{options.get('port', 1883)}"
    return str(options.get("url") or options.get("file") or "")


def _device(device: Device, link: Link) -> DeviceView:
    return DeviceView(
        id=device.id,
        driver=device.driver,
        address=address(device),
        up=link.up,
        last_seen=link.last_seen,
        points=len(device.points),
        polls=link.polls,
        failures=link.failures,
        latency_s=link.latency.total_seconds() or None,  # nought in a simulation, where answers take no time
        error="" if link.up else link.error,
    )
