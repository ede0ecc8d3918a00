"""What people call the parts and points of a site, and its local time of day."""

from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

from config.roles import Role
from config.site import AirBox, Boiler, Building, HeatPump, Plant, Point, Site

_KINDS = {
    "heat_pump": "Heat pump",
    "boiler": "Boiler",
    "tank": "Buffer tank",
    "circuit": "Heating circuit",
    "air_handler": "Ventilation",
    "air_box": "Air box",
    "chiller": "Chiller",
    "pv": "Solar panels",
}
_ROLES = {
    Role.HEATING_SETPOINT: "setpoint",
    Role.COOLING_SETPOINT: "cooling setpoint",
    Role.LIGHT_LEVEL: "lights",
    Role.FAN_SPEED: "fan speed",
    Role.OUTDOOR_DAMPER: "outdoor air damper",
    Role.SUPPLY_SETPOINT: "supply air setpoint",
    Role.SUPPLY_TEMPERATURE: "supply air",
    Role.AIRFLOW: "airflow",
    Role.DAMPER_POSITION: "damper",
    Role.FLOW_SETPOINT: "flow setpoint",
    Role.TANK_SETPOINT: "setpoint",
    Role.CAPACITY_LIMIT: "capacity limit",
    Role.ENABLE: "release to run",
    Role.ZONE_TEMPERATURE: "temperature",
    Role.CO2: "CO2",
    Role.OCCUPANCY: "people",
    Role.ELECTRICITY_METER: "electricity meter",
    Role.ELECTRICITY_POWER: "electric power",
    Role.GAS_METER: "gas meter",
    Role.HEAT_METER: "heat meter",
    Role.PV_METER: "meter",
    Role.PV_POWER: "power",
    Role.LIGHTING_POWER: "power",
}


class Names:
    """Names of one site's zones, plant and points."""

    def __init__(self, site: Site) -> None:
        self.tz = ZoneInfo(site.timezone)
        self.parts: dict[str, str] = {}  # by id, zones and plant
        for building in site.buildings:
            self.parts |= {zone.id: zone.name or zone.id.replace("_", " ").capitalize() for zone in building.zones}
        for building in site.buildings:
            self.parts |= self._plant(building)

    def _plant(self, building: Building) -> dict[str, str]:
        count = Counter(plant.kind for plant in building.plant)
        return {
            plant.id: self._machine(plant, building)
            + ("" if count[plant.kind] == 1 or isinstance(plant, AirBox) else f" {plant.id.replace('_', ' ')}")
            for plant in building.plant
        }

    def _machine(self, plant: Plant, building: Building) -> str:
        served = [self.parts[name] for name in plant.serves if name in self.parts]
        everywhere = len(served) == len(building.zones) > 1
        if not served or everywhere or isinstance(plant, HeatPump | Boiler):
            return _KINDS[plant.kind]
        return f"{_KINDS[plant.kind]}, {', '.join(served)}"

    def part(self, part: str) -> str:
        """A zone or machine; an id that is neither becomes readable."""
        return self.parts.get(part) or part.replace("_", " ").capitalize()

    def point(self, point: Point) -> str:
        """A point: the part it belongs to and what it is there."""
        what = _ROLES.get(point.role) or point.id.split(".", 2)[2].replace("_", " ")
        return f"{self.part(point.part)}: {what}"

    def words(self, text: str) -> str:
        """A sentence of ours as people read it: degC is a unit for programs."""
        return text.replace(" degC", "\N{NO-BREAK SPACE}°C")

    def clock(self, when: datetime) -> str:
        """Local time of day."""
        return f"{when.astimezone(self.tz):%H:%M}"
