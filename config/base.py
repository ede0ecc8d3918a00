"""What every model of a site file is made of: frozen, with names, durations and local times that people can read.

The text of every ValueError here reads "what is wrong; what to write instead"; `load.py` splits it at the semicolon.
"""

import ipaddress
import re
from datetime import time, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
PointId = Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+(\.[a-z0-9_]+)+$", max_length=120)]


class Frozen(BaseModel):
    """Base of everything people write: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_SHORT = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    """Accept `15 min`, `90 s`, `2 h`, `1 d` beside ISO 8601; refuse a bare number, whose unit nobody can see."""
    if isinstance(value, str):
        if short := _SHORT.fullmatch(value.strip()):
            return timedelta(seconds=float(short[1]) * _SECONDS[short[2]])
        if value.strip()[:1] in ("P", "-"):
            return value.strip()
    elif isinstance(value, timedelta):
        return value
    raise ValueError(f"{value!r} is not a duration; write one such as '15 min', '90 s', '2 h' or PT15M")


def _local_time(value: Any) -> Any:
    """Accept `08:00`; refuse a bare number, which would count seconds, and a time with a zone."""
    if isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", value):
        return value
    if isinstance(value, time) and value.tzinfo is None:
        return value
    raise ValueError(
        f"{value!r} is not a local time of day; write one from '00:00' to '23:59' in quotes, such as '08:30'"
    )


Duration = Annotated[timedelta, BeforeValidator(_duration)]
LocalTime = Annotated[time, BeforeValidator(_local_time)]


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
