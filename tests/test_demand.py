"""A demand limit dims all lights alike, as far as needed and decent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.demand import FLOOR_PERCENT, dimmed


def test_lights_are_dimmed_by_the_share_that_is_too_much() -> None:
    found = dimmed({"a": 100.0, "b": 80.0}, import_kw=30.0, limit_kw=27.0, lighting_kw=10.0)
    assert found == {"a": 70, "b": 56}


@pytest.mark.parametrize(("import_kw", "lighting_kw"), [(20.0, 10.0), (15.0, 10.0), (30.0, 0.0)])
def test_nothing_is_dimmed_without_need_or_without_light(import_kw: float, lighting_kw: float) -> None:
    assert dimmed({"a": 100.0}, import_kw=import_kw, limit_kw=20.0, lighting_kw=lighting_kw) == {}


def test_people_must_still_see_what_they_do() -> None:
    levels = {"bright": 100.0, "at_floor": FLOOR_PERCENT, "dark": 10.0, "off": 0.0}
    assert dimmed(levels, import_kw=500.0, limit_kw=1.0, lighting_kw=10.0) == {"bright": FLOOR_PERCENT}


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0, 100), max_size=12),
    st.floats(0, 500),
    st.floats(0, 500),
    st.floats(0, 50),
)
def test_no_light_is_ever_raised_or_below_the_floor(
    levels: dict[str, float], import_kw: float, limit_kw: float, lighting_kw: float
) -> None:
    found = dimmed(levels, import_kw=import_kw, limit_kw=limit_kw, lighting_kw=lighting_kw)
    for point, level in found.items():
        assert FLOOR_PERCENT <= level <= levels[point]
