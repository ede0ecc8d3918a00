"""One point's memory of what it showed, and the verdict on each of its readings."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import isfinite

from controller.validation.expected import Expected
from drivers.base import Flags, Quality, Reading

FUTURE = timedelta(seconds=60)  # clocks of devices are allowed to be that far ahead
LONG_AGO = datetime.min.replace(tzinfo=UTC)
BELIEVED = Flags.NONE


class Sensor:
    """Judges readings of a point of which only the range is known.

    The gate takes a reading whose value lies from `calm_low` to `calm_high` and whose time is new as it is, and
    only notes it; every other comes to `judge`. What a kind of point knows beside its range is in `weigh`.
    """

    __slots__ = ("_heard", "_told", "calm_high", "calm_low", "expected", "moves", "time", "value")

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.calm_low, self.calm_high = expected.low, expected.high
        self.time = LONG_AGO  # of the newest reading
        self.value: float | None = None  # the last that was believed; None = none yet
        self._heard: Reading | None = None  # the last that was judged, for it may come again
        self._told: Reading  # the verdict on it
        self.moves = False  # whether `calm` must be told of new values

    def calm(self, value: float, time: datetime) -> None:
        """Note a believed value that is another than the last; for kinds that remember."""

    def weigh(self, value: float, time: datetime) -> tuple[Flags, bool]:  # noqa: ARG002  for kinds that remember
        """What is strange about a value within its range, and whether it is believed all the same."""
        return BELIEVED, True

    def weigh_outside(self, value: float, time: datetime) -> Flags:  # noqa: ARG002  for kinds that remember
        """What else is known of a value outside its range."""
        return BELIEVED

    def judge(self, reading: Reading) -> Reading:
        """The reading with its quality and the reasons; the same object where nothing is to be added."""
        if self.time > reading.received + FUTURE:  # our own clock was set back: begin anew
            self.time, self._heard = LONG_AGO, None
        if self._heard is not None and self._told.time == self.time and _same(reading, self._heard):
            return self._again(reading)
        verdict = self._verdict(_timely(_with_value(reading), self.expected.max_age))
        if verdict.time >= self.time:
            self._heard, self._told = reading, verdict
        return verdict

    def _again(self, reading: Reading) -> Reading:
        """The last verdict, on the same value and time that came another way or once more."""
        told, flags = self._told, reading.flags | self._told.flags
        if told.received == reading.received and told.flags == flags:
            return told
        return replace(told, received=reading.received, flags=flags)

    def _verdict(self, reading: Reading) -> Reading:
        value, time = reading.value, reading.time
        if value is None or (time == self.time and value == self.value):
            return reading
        if time < self.time:
            found, believed = self._in_range(value)
            found |= Flags.OUT_OF_ORDER
        else:
            trusted = reading.quality is Quality.GOOD
            found, believed = self._at_its_turn(value, time, trusted=trusted)
        doubted = reading.quality is Quality.GOOD and not believed
        if not (found or doubted):
            return reading
        return replace(reading, quality=Quality.SUSPECT if doubted else reading.quality, flags=reading.flags | found)

    def _at_its_turn(self, value: float, time: datetime, *, trusted: bool) -> tuple[Flags, bool]:
        """Weigh a reading that is not older than the last one, and remember it."""
        found, believed = self._in_range(value)
        if believed and trusted:  # what the device itself doubts teaches nothing
            if time == self.time:
                return self._once_more(value, time)
            found, believed = self.weigh(value, time)
            if believed:
                self.value = value
        elif trusted:
            found |= self.weigh_outside(value, time)
        self.time = time
        return found, believed

    def _once_more(self, value: float, time: datetime) -> tuple[Flags, bool]:
        """Take another value of the same moment for what it is: no confirmation of the one before.

        It replaces that one in the store, so it inherits what was said of it.
        """
        found = Flags.SAME_TIME
        if self._heard is not None and self._told.time == time:
            found |= self._told.flags & (Flags.ROLLED_OVER | Flags.RESET | Flags.REPLACED)
        if not self.calm_low <= value <= self.calm_high:
            return found, False
        if self.moves:
            self.calm(value, time)
        self.value = value
        return found, True

    def _in_range(self, value: float) -> tuple[Flags, bool]:
        inside = self.expected.low <= value <= self.expected.high
        return (BELIEVED, True) if inside else (Flags.OUT_OF_RANGE, False)


def _same(reading: Reading, heard: Reading) -> bool:
    """It is what was heard last, by a poll beside a push, or repeated, whenever that came."""
    if reading is heard:
        return True
    facts = reading.time, reading.value, reading.quality, reading.flags | Flags.PUSHED
    return facts == (heard.time, heard.value, heard.quality, heard.flags | Flags.PUSHED)


def _with_value(reading: Reading) -> Reading:
    """The reading with a finite value, or with none and bad, as the contract has it."""
    value, bad = reading.value, reading.quality is Quality.BAD
    if value is None and bad:
        return reading
    if value is None or bad or not isfinite(value):
        flags = reading.flags if bad else reading.flags | Flags.NOT_A_NUMBER
        return replace(reading, value=None, quality=Quality.BAD, flags=flags)
    return reading


def _timely(reading: Reading, max_age: timedelta) -> Reading:
    """The reading at a time that can be: not in the future."""
    age = reading.received - reading.time
    if age < -FUTURE:
        return replace(reading, time=reading.received, flags=reading.flags | Flags.FUTURE_TIME)
    return replace(reading, flags=reading.flags | Flags.LATE) if age > max_age else reading
