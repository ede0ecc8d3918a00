"""Readings as InfluxDB's line protocol: one measurement whose tags and fields are fixed for good.

InfluxDB 3 never changes a table's tags, and no version lets a field change its type; so nothing is added here without
a new measurement. Every line carries every field, except `v` where there is no number: a reading that is sent again
then replaces the first one whole, and a reader must take `v` for missing where `q` says bad.
"""

from collections.abc import Iterable
from math import isfinite

from controller.store.stamp import micros
from drivers.base import Quality, Reading

MEASUREMENT = "reading"
TAGS = ("point", "site")
FIELDS = ("v", "q", "f", "lag")  # value, quality, flags, microseconds between its time and its arrival here
PRECISION = "us"  # of the timestamps
QUALITIES = (Quality.GOOD, Quality.SUSPECT, Quality.STALE, Quality.BAD)  # by code
CODES = {quality: code for code, quality in enumerate(QUALITIES)}


def lines_of(readings: Iterable[Reading], *, site: str) -> list[str]:
    """One line a reading, in order. Ids need no escapes: a site file allows only letters, digits, `_` and dots."""
    tail = f",site={site} "
    time = received = None
    stamp = lag = 0
    lines = []
    for reading in readings:
        if reading.time is not time or reading.received is not received:  # a cycle's readings share their time
            time, received = reading.time, reading.received
            stamp = micros(time)
            lag = 0 if time is received else micros(received) - stamp
        value = reading.value
        number = "" if value is None or not isfinite(value) else f"v={float(value)!r},"
        lines.append(
            f"{MEASUREMENT},point={reading.point}{tail}{number}q={CODES[reading.quality]}i,"
            f"f={int(reading.flags)}i,lag={lag}i {stamp}"
        )
    return lines


def key_of(line: str) -> tuple[str, int]:
    """Series and time of a line: what InfluxDB keeps one line of."""
    series, _, rest = line.partition(" ")
    return series, int(rest.rpartition(" ")[2])
