"""What the topics of one device have told: messages in, readings out. No input and no waiting."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from config.site import Point
from drivers.base import Flags, Quality, Reading
from drivers.mqtt.mapping import (
    ABSENT,
    Malformed,
    PointMap,
    Source,
    decode,
    parse_address,
    path_of,
    pick,
    plain,
    source_time,
)
from drivers.mqtt.options import PointOptions

FUTURE = timedelta(minutes=1)  # a device's clock may be ahead of ours by this
CLOCK_SET = datetime(2000, 1, 1, tzinfo=UTC)  # a time before is that of a device which has not set its clock


class Inbox:
    """Readings of the points of one device, from its messages.

    `newest` is the last reading of each point, `dropped` counts by reason what was no use: `too_long`, `not_json`,
    `not_text`, `absent` (the path leads nowhere), `duplicate` (same source time), `bad_time` (arrival taken instead).
    """

    def __init__(self, points: Sequence[Point], *, time: str | None) -> None:
        self.newest: dict[str, Reading] = {}
        self.dropped: Counter[str] = Counter()
        self.maps: dict[str, PointMap] = {}
        self.topics: dict[str, int] = {}  # to subscribe to, with QoS
        self._sources: dict[str, list[tuple[PointMap, tuple[str, ...]]]] = {}
        for point in points:
            options = PointOptions.model_validate(point.options)
            mapped = PointMap(point, options, path_of(options.time or time))
            self.maps[point.id] = mapped
            self._listen(mapped, parse_address(point.address))
            if options.confirm is not None:
                self._listen(mapped, parse_address(options.confirm))

    def _listen(self, mapped: PointMap, source: Source) -> None:
        self._sources.setdefault(source.topic, []).append((mapped, source.path))
        self.topics[source.topic] = max(self.topics.get(source.topic, 0), mapped.options.qos)

    def take(self, topic: str, payload: bytes, *, retained: bool, now: datetime) -> list[Reading]:
        """Read a message that has just come; readings in the order of the points."""
        sources = self._sources.get(topic)
        if sources is None:
            return []
        document: object = ABSENT
        readings: list[Reading] = []
        try:
            for mapped, path in sources:
                if path and document is ABSENT:
                    document = decode(payload)
                raw = pick(document, path) if path else plain(payload)
                if raw is ABSENT:
                    self.dropped["absent"] += 1  # a message may well carry a part of the state only
                elif (reading := self._reading(mapped, raw, document, retained=retained, now=now)) is not None:
                    readings.append(reading)
        except Malformed as error:
            self.dropped[str(error)] += 1
        return readings

    def _reading(
        self, mapped: PointMap, raw: object, document: object, *, retained: bool, now: datetime
    ) -> Reading | None:
        point = mapped.point.id
        value, why = mapped.value(raw)
        when, flags = self._time(mapped, document, now)
        known = self.newest.get(point)
        if known is not None:
            if when is None and retained and known.value == value:
                when = known.time  # the broker repeats what we knew: it has been true since
            elif when == known.time and not retained:
                self.dropped["duplicate"] += 1
                return None
        reading = Reading(
            point=point,
            time=now if when is None else when,
            received=now,
            value=value,
            quality=Quality.BAD if value is None else Quality.GOOD,
            flags=Flags.PUSHED | why | flags,
        )
        if known is None or reading.time >= known.time:
            self.newest[point] = reading
        return reading

    def _time(self, mapped: PointMap, document: object, now: datetime) -> tuple[datetime | None, Flags]:
        """Find the time in the message, if it has a believable one."""
        if mapped.time is None:
            return None, Flags.NONE
        when = source_time(pick(document, mapped.time))
        if when is None or when < CLOCK_SET:
            self.dropped["bad_time"] += 1
            return None, Flags.NONE
        if when > now + FUTURE:
            return now, Flags.FUTURE_TIME
        return when, Flags.NONE
