"""Whatever a source says, it is either a sound answer or one of our two refusals: nothing else ever leaves."""

import asyncio
import copy
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.site import Location
from drivers.feeds.carbon_intensity import NesoSource
from drivers.feeds.feed import Source
from drivers.feeds.fetch import Unavailable
from drivers.feeds.gate import Implausible, judged
from drivers.feeds.tariff import RatesSource, TariffOptions
from drivers.feeds.weather import OpenMeteoSource, WeatherOptions
from tests.feed_server import Asked, half_hours, rate, rates, region, weather

NOW = datetime(2023, 3, 14, 3, 31, tzinfo=UTC)
PLACE = Location(latitude=52.48, longitude=-1.9, postcode="B1")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        ["", "0001-01-01T00:00Z", "9999-12-31T23:59:59Z", "2023-03-14T03:30Z", "1e400", "//", "http://[", "\x00", "-0"]
    ),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


class Said:
    """A web that has one answer."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def json(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        return self._answer


def shapes() -> dict[str, tuple[Any, Any]]:
    rows = half_hours(NOW.replace(minute=30), 96, lambda at: {"forecast": 100.0, "actual": 90.0})
    asked = Asked(NOW, "", {"past_days": "1", "forecast_days": "2", "latitude": "1", "timezone": "GMT"})
    sky = weather(asked, degc=lambda at: float(at.hour), sun=lambda at: 10.0 * at.hour)
    half = timedelta(minutes=30)
    prices = rates(
        [
            rate(NOW.replace(minute=0) + n * half, 20.0 + n, end=NOW.replace(minute=0) + (n + 1) * half)
            for n in range(40)
        ]
    )
    options = TariffOptions(product="A-1", tariff="E-1R-A-1-E")
    return {
        "national": ({"data": rows}, lambda web: NesoSource(web, None)),
        "regional": (region("B1", rows), lambda web: NesoSource(web, "B1")),
        "weather": (sky, lambda web: OpenMeteoSource(web, WeatherOptions(), PLACE, None)),
        "prices": (prices, lambda web: RatesSource(web, options)),
    }


SHAPES = shapes()


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part of a JSON value."""
    yield path
    if isinstance(node, dict):
        for key, value in node.items():
            yield from places(value, (*path, key))
    elif isinstance(node, list):
        for n, value in enumerate(node[:4]):
            yield from places(value, (*path, n))


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_answer_breaks_a_feed(shape: str, data: st.DataObject) -> None:
    answer, source = SHAPES[shape]
    answer = copy.deepcopy(answer)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in places(answer) if p] or [()]))
        if not path:
            break
        node = answer
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = data.draw(ODD)
    believed(source(Said(answer)))


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=60, deadline=None)
@given(answer=ODD)
def test_no_odd_thing_breaks_a_feed(shape: str, answer: Any) -> None:
    believed(SHAPES[shape][1](Said(answer)))


def believed(source: Source) -> None:
    """Ask and judge, as a feed does; what is believed is finite and within its limits."""
    try:
        answers = asyncio.run(source.ask(NOW))
    except (Unavailable, Implausible):
        return
    for address, said in answers.items():
        limits = source.quantities[address].limits
        try:
            found = judged(said, limits)
        except Implausible:
            continue
        assert len(found.values) == len(found.kinds) < 50_000
        assert all(v is None or (math.isfinite(v) and limits.low <= v <= limits.high) for v in found.values)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sound_answer_is_believed(shape: str) -> None:
    answer, source = SHAPES[shape]
    assert asyncio.run(source(Said(answer)).ask(NOW))
