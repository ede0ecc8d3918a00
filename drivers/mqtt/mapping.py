"""Topics and payloads to values and back, by configuration. Nothing a device sends can raise out of here."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from config.site import Point
from drivers.base import Flags
from drivers.mqtt.options import PointOptions

MAX_PAYLOAD = 65_536  # bytes; a longer message is not a state but a mistake
MILLISECONDS_FROM = 1e11  # epoch numbers above are milliseconds (as seconds they would mean the year 5138)
WORDS = {"on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0}  # what nearly every device calls them


class Malformed(ValueError):  # noqa: N818  a state of the message
    """The message cannot be understood at all; the text is the reason it is counted under."""


class Absent:
    """Stands for a path that leads nowhere in this message."""


ABSENT = Absent()


class Source(NamedTuple):
    """Where a value is found: a topic, and the way into its JSON (empty = the whole payload)."""

    topic: str
    path: tuple[str, ...]


def parse_address(address: str) -> Source:
    """`topic#path.into.json`; raises ValueError with the cure in the text."""
    topic, mark, path = address.partition("#")
    if not topic or "+" in topic or "\x00" in topic:
        raise ValueError(f"{address!r}: write one topic without +, such as building/meter/state#power.kw")
    steps = tuple(path.split(".")) if mark else ()
    if not all(steps) or (mark and not steps):
        raise ValueError(f"{address!r}: after # comes the way into the JSON, such as #power.kw or #phases.0.volts")
    return Source(topic, steps)


def path_of(path: str | None) -> tuple[str, ...] | None:
    return None if path is None else tuple(path.split("."))


def decode(payload: bytes) -> object:
    """Read the document in a payload; raises Malformed."""
    if len(payload) > MAX_PAYLOAD:
        raise Malformed("too_long")
    try:
        return json.loads(payload.decode())
    except (ValueError, RecursionError):
        raise Malformed("not_json") from None


def plain(payload: bytes) -> str:
    """Read a payload that is one plain value; raises Malformed."""
    if len(payload) > MAX_PAYLOAD:
        raise Malformed("too_long")
    try:
        return payload.decode().strip().strip('"')
    except UnicodeDecodeError:
        raise Malformed("not_text") from None


def pick(document: object, path: Sequence[str]) -> object:
    """Follow the path; ABSENT if it leads nowhere."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step, ABSENT)
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            return ABSENT
    return document


def source_time(raw: object) -> datetime | None:
    """UTC from ISO 8601 with an offset, or seconds or milliseconds since 1970; None if it is neither."""
    try:
        if isinstance(raw, str):
            when = datetime.fromisoformat(raw)
            return when.astimezone(UTC) if when.tzinfo is not None else None
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            return datetime.fromtimestamp(raw / 1000 if raw > MILLISECONDS_FROM else raw, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class PointMap:
    """One point's way from raw values to its unit and back."""

    point: Point
    options: PointOptions
    time: tuple[str, ...] | None  # path of the time in the same message; None = time of arrival

    def value(self, raw: object) -> tuple[float | None, Flags]:
        """Return the value in the point's unit, or None with the reason why there is none."""
        if raw is None or raw == "":
            return None, Flags.FAULT
        number = self._number(raw)
        if number is not None:
            number = number * self.options.scale + self.options.offset
            if math.isfinite(number):
                return number, Flags.NONE
        return None, Flags.NOT_A_NUMBER

    def _number(self, raw: object) -> float | None:
        if isinstance(raw, bool):
            raw = str(raw).lower() if self.options.values else float(raw)
        try:
            if isinstance(raw, str):
                if raw in self.options.values:
                    return self.options.values[raw]
                if (word := raw.strip().casefold()) in WORDS:
                    return WORDS[word]
                return None if "_" in raw else float(raw)  # Python would take 1_0 for 10
            if isinstance(raw, int | float):
                return float(raw)
        except (ValueError, OverflowError):
            pass
        return None

    def command(self, value: float) -> str:
        """Write the payload that sets the point to `value`, which is in the point's unit."""
        raw = (value - self.options.offset) / self.options.scale
        word = next((word for word, number in self.options.values.items() if number == raw), None)
        return self.options.command.replace("{value}", _digits(raw) if word is None else word)


def _digits(number: float) -> str:
    rounded = round(number, 6)
    return str(int(rounded)) if rounded.is_integer() else repr(rounded)
