"""A site with one of each kind of sensor, and the gate that its readings pass."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from config.site import Site
from controller.hub import Hub
from controller.validation.gate import Gate
from controller.validation.take_back import Nonsense
from drivers.base import Flags, Quality, Reading
from tests.conftest import EPOCH
from tests.controlled import small_site

MINUTE = timedelta(minutes=1)
GOOD, SUSPECT, BAD = Quality.GOOD, Quality.SUSPECT, Quality.BAD
NONE = Flags.NONE

HALL, NEXT, THIRD, OUTDOOR = "b.hall.temperature", "b.next.temperature", "b.third.temperature", "b.outdoor.temperature"
CO2, FLOW, BOILER_KW, VALVE, FAN = "b.hall.co2", "b.circuit.flow", "b.boiler.heat", "b.hall.valve", "b.ahu.fan_speed"
ENERGY, ROLLING, EXCHANGED, FAST = "b.grid.kwh", "b.rolling.kwh", "b.exchanged.kwh", "b.fast.kwh"
EXCHANGED_AT = EPOCH + 30.5 * MINUTE


def _temperature(point: str, role: str = "zone_temperature") -> dict[str, object]:
    return {"id": point, "role": role, "unit": "degC", "address": "ai,1"}


def _meter(point: str) -> dict[str, object]:
    return {"id": point, "role": "electricity_meter", "unit": "kWh", "address": "ai,9"}


SITE = small_site(
    {
        "all": [
            *(_temperature(point) for point in (HALL, NEXT, THIRD)),
            _temperature(OUTDOOR, "outdoor_temperature"),
            _temperature(FLOW, "flow_temperature"),
            {"id": CO2, "role": "co2", "unit": "ppm", "address": "ai,2"},
            {"id": BOILER_KW, "role": "heat_output", "unit": "kW", "address": "ai,3"},
            {"id": VALVE, "role": "valve_position", "unit": "%", "address": "ai,4"},
            {"id": FAN, "role": "fan_speed", "unit": "%", "address": "ao,1", "writable": True, "low": 0, "high": 100},
            *(_meter(point) for point in (ENERGY, ROLLING, EXCHANGED, FAST)),
        ]
    },
    meters=[
        {"id": "plain", "fuel": "electricity", "point": ENERGY},
        {"id": "rolling", "fuel": "electricity", "point": ROLLING, "digits": 5},
        {
            "id": "exchanged",
            "fuel": "electricity",
            "point": EXCHANGED,
            "exchanges": [{"time": EXCHANGED_AT.isoformat(), "closing": 5000.0, "opening": 20.0}],
        },
        {"id": "fast", "fuel": "electricity", "point": FAST, "capacity_kw": 100},
    ],
)


def reading(point: str, value: float | None, minute: float = 0.0, *, late_s: float = 0.0, **more: object) -> Reading:
    """A reading of that minute, had `late_s` after it was true."""
    when = EPOCH + minute * MINUTE
    received = when if late_s == 0.0 else when + timedelta(seconds=late_s)
    return Reading(point=point, time=when, received=received, value=value, **more)  # type: ignore[arg-type]


@dataclass
class Bench:
    """A gate with somebody who listens behind it."""

    site: Site = SITE
    forgotten: list[tuple[str, datetime]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hub: Hub[Reading] = Hub()
        self.nonsense: Hub[Nonsense] = Hub()
        self.gate = Gate(self.site, self.hub, self.nonsense)

    def passed(self, readings: Iterable[Reading]) -> list[Reading]:
        """What comes out when the readings come one by one."""
        with self.hub.subscribe(size=100_000) as buffer, self.nonsense.subscribe() as nonsense:
            for each in readings:
                self.gate.publish(each)
            self.forgotten += [(found.point, found.since) for found in nonsense.take()]
            return buffer.take()

    def shown(self, point: str, values: Sequence[float | None], *, first: float = 0.0) -> list[tuple[Quality, Flags]]:
        """The verdicts on a value each minute."""
        found = self.passed(reading(point, value, first + n) for n, value in enumerate(values))
        return [(each.quality, each.flags) for each in found]


def calm(level: float, *, by: float = 0.1, count: int = 20) -> list[float]:
    """A sensor that moves a little, in steps of its resolution."""
    return [round(level + by * (n % 3), 6) for n in range(count)]


def rising(start: float, *, by: float = 0.5, count: int = 20) -> list[float]:
    return [round(start + by * n, 6) for n in range(count)]
