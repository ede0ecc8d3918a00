"""The gate that every reading passes on its way from the drivers: judged once, then handed to whoever listens."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from config.site import Site
from controller.hub import Hub
from controller.validation.expected import Expected, Kind, expectations
from controller.validation.power import Power
from controller.validation.reasons import reasons
from controller.validation.register import Register
from controller.validation.sensor import LONG_AGO, Sensor
from controller.validation.steady import Steady
from controller.validation.stuck import EVERY, Siblings
from controller.validation.take_back import Nonsense
from drivers.base import Flags, Quality, Reading

log = logging.getLogger(__name__)

_KINDS: dict[Kind, type[Sensor]] = {
    Kind.STEADY: Steady,
    Kind.POWER: Power,
    Kind.REGISTER: Register,
    Kind.PLAIN: Sensor,
}
_NEWS = Flags.OUT_OF_RANGE | Flags.STUCK | Flags.UNIT_JUMP | Flags.ROLLED_OVER | Flags.RESET | Flags.REPLACED
_SAID_AGAIN = timedelta(hours=1)  # a value that keeps crossing its limit is no news each time


class Gate:
    """Judges readings and publishes them, every one, in order; what was added is quality and flags.

    On `nonsense` it tells of points that have not meant what they showed for some time, without anybody having known.
    """

    def __init__(self, site: Site, readings: Hub[Reading], nonsense: Hub[Nonsense]) -> None:
        self._hub, self._nonsense = readings, nonsense
        found = {point: _KINDS[expected.kind](expected) for point, expected in expectations(site).items()}
        self._sensors: dict[str, Sensor] = found
        groups: dict[tuple[str, str, str], list[tuple[str, Steady]]] = {}
        for point, sensor in found.items():
            if isinstance(sensor, Steady):
                spec = site.points[point]
                groups.setdefault((point.split(".", 1)[0], spec.role, spec.unit), []).append((point, sensor))
        self._siblings = [Siblings(group) for group in groups.values() if len(group) > 1]
        self._look_at = LONG_AGO
        self.news: dict[str, tuple[Flags, datetime]] = {}  # what was last said of a point, and when it was last so

    def publish(self, *readings: Reading) -> None:
        """Judge the readings and hand all of them on."""
        if readings:
            self._hub.publish(*self.judged(readings))

    def remember(self, readings: Iterable[Reading]) -> None:
        """Begin with what was known before a restart, one reading a point."""
        self.judged([reading for reading in readings if reading.quality is Quality.GOOD])

    def judged(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """The same readings, those with something strange about them with their quality and flags."""
        sensors, good, changed = self._sensors, Quality.GOOD, None
        for n, reading in enumerate(readings):
            sensor = sensors.get(reading.point)
            if sensor is None:
                sensor = sensors[reading.point] = Sensor(Expected(kind=Kind.PLAIN))
            value, time = reading.value, reading.time
            if (
                reading.quality is good
                and value is not None
                and sensor.calm_low <= value <= sensor.calm_high
                and time > sensor.time
                and (time is reading.received or time <= reading.received <= time + sensor.expected.max_age)
            ):
                sensor.time = time
                if value != sensor.value:
                    if sensor.moves:
                        sensor.calm(value, time)
                    sensor.value = value
                continue
            verdict = sensor.judge(reading)
            if verdict is not reading:
                if changed is None:
                    changed = list(readings)
                changed[n] = verdict
                self._say(verdict)
        if readings and readings[-1].received >= self._look_at:
            self._look(readings[-1].received)
        return readings if changed is None else changed

    def _look(self, now: datetime) -> None:
        """Compare sensors with those of the same kind."""
        self._look_at = now + EVERY
        for siblings in self._siblings:
            for point, sensor, since in siblings.look(now):
                sensor.stick()
                if sensor.value is not None:
                    self._nonsense.publish(Nonsense(point=point, value=sensor.value, since=since, until=now))

    def _say(self, reading: Reading) -> None:
        """One line when something begins that a person may have to see to."""
        news = reading.flags & _NEWS
        if not news:
            return
        known = self.news.get(reading.point)
        self.news[reading.point] = news, reading.received
        if known is None or known[0] != news or reading.received - known[1] > _SAID_AGAIN:
            text = "" if reading.quality is Quality.GOOD else ", which is not believed"
            log.warning("%s shows %s%s: %s", reading.point, reading.value, text, reasons(news))
