"""Views as plain JSON: times in UTC, durations in seconds, a missing or non-finite number as null."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import cache

from fastapi import Response


@cache
def _fields(kind: type) -> tuple[str, ...]:
    own = tuple(field.name for field in fields(kind))  # a dataclass by the caller's test
    extra = tuple(name for name in vars(kind) if isinstance(vars(kind)[name], property))
    return own + extra


def plain(thing: object) -> object:
    """The JSON shape of a view; dataclasses with their properties. Raises TypeError on anything else."""
    if isinstance(thing, Enum):
        return thing.value
    if thing is None or isinstance(thing, bool | int | str):
        return thing
    if isinstance(thing, float):
        return thing if math.isfinite(thing) else None
    if isinstance(thing, date | timedelta):
        return _time(thing)
    return _composite(thing)


def _time(thing: date | timedelta) -> object:
    if isinstance(thing, timedelta):
        return thing.total_seconds()
    if isinstance(thing, datetime):
        return thing.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return thing.isoformat()


def _composite(thing: object) -> object:
    if is_dataclass(thing) and not isinstance(thing, type):
        return {name: plain(getattr(thing, name)) for name in _fields(type(thing))}
    if isinstance(thing, Mapping):
        return {str(key): plain(value) for key, value in thing.items()}
    if isinstance(thing, Sequence):
        return [plain(item) for item in thing]
    raise TypeError(f"{type(thing).__name__} has no JSON shape")


def reply(thing: object, status: int = 200) -> Response:
    """A JSON answer."""
    body = json.dumps(plain(thing), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body.encode(), status_code=status, media_type="application/json")
