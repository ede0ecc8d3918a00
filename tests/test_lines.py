"""Readings as line protocol: the schema that is fixed for good."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.lines import key_of, lines_of
from drivers.base import Flags, Quality, Reading
from tests.influx_server import LINE

START = datetime(2023, 2, 6, tzinfo=UTC)


def reading(value: float | None, **more: object) -> Reading:
    return Reading(**{"point": "hall.temperature", "time": START, "received": START, "value": value, **more})  # type: ignore[arg-type]


def test_a_reading_is_one_line_of_the_schema() -> None:
    late = START + timedelta(seconds=1.5)
    assert lines_of(
        [reading(20.5), reading(0.1, received=late, flags=Flags.STUCK, quality=Quality.SUSPECT)], site="s"
    ) == [
        "reading,point=hall.temperature,site=s v=20.5,q=0i,f=0i,lag=0i 1675641600000000",
        f"reading,point=hall.temperature,site=s v=0.1,q=1i,f={int(Flags.STUCK)}i,lag=1500000i 1675641600000000",
    ]


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_has_no_value(value: float | None) -> None:
    (line,) = lines_of([reading(value, quality=Quality.BAD)], site="s")
    assert line == "reading,point=hall.temperature,site=s q=3i,f=0i,lag=0i 1675641600000000"


@pytest.mark.parametrize(("value", "text"), [(1, "1.0"), (True, "1.0"), (np.float64(2.5), "2.5"), (1e-7, "1e-07")])
def test_a_value_is_always_a_float(value: float, text: str) -> None:
    assert f" v={text},q=0i" in lines_of([reading(value)], site="s")[0]


@given(
    value=st.floats(allow_nan=False, allow_infinity=False),
    minutes=st.integers(0, 10**7),
    lag_s=st.integers(-10, 10**6),
    quality=st.sampled_from(Quality),
    flags=st.integers(0, 2**20 - 1),
)
def test_nothing_of_a_reading_is_lost(value: float, minutes: int, lag_s: int, quality: Quality, flags: int) -> None:
    time = START + timedelta(minutes=minutes)
    made = reading(value, time=time, received=time + timedelta(seconds=lag_s), quality=quality, flags=Flags(flags))
    (line,) = lines_of([made], site="s")
    found = LINE.fullmatch(line)
    assert found
    point, site, v, q, f, lag, at = found.groups()
    assert (point, site, float(v), int(f), int(lag)) == ("hall.temperature", "s", value, flags, lag_s * 1_000_000)
    assert int(q) == list(Quality).index(quality)
    assert key_of(line) == ("reading,point=hall.temperature,site=s", int(at))
    assert START + timedelta(microseconds=int(at) - 1675641600000000) == time
