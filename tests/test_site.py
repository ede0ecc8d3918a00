"""The models of a site: frozen, strict, and the same after a round trip."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.load import load_site
from config.roles import COMMANDS, TAGS, UNITS, Role
from config.site import Point, Site
from config.units import Unit

EXAMPLES = Path(__file__).parents[1] / "config" / "examples"
SITE = load_site(EXAMPLES / "townhall.yaml")


def test_a_site_survives_the_round_trip_through_json() -> None:
    assert Site.model_validate_json(SITE.model_dump_json()) == SITE


def test_a_site_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SITE.name = "Another"  # type: ignore[misc]  that is the point


def test_points_are_found_by_role_and_part() -> None:
    assert len(SITE.by_role(Role.ZONE_TEMPERATURE)) == 10
    assert [p.id for p in SITE.by_role(Role.ENABLE)] == ["townhall.heat_pump.enable", "townhall.boiler.enable"]
    assert [p.id for p in SITE.by_role(Role.CO2, "council")] == ["townhall.council.co2"]
    assert SITE.by_role(Role.CO2, "hall") == []


def test_every_role_has_tags_and_every_measured_role_its_units() -> None:
    assert set(TAGS) == set(Role)
    assert set(UNITS) == set(Role) - {Role.OTHER}
    assert all(p.role in COMMANDS for p in SITE.points.values() if p.writable)


@pytest.mark.parametrize(
    ("safe", "low", "high", "right"),
    [(20.0, 12.0, 23.0, True), (12.0, 12.0, 23.0, True), (30.0, 12.0, 23.0, False), (-5.0, -10.0, None, True)],
)
def test_a_safe_value_lies_within_the_limits(
    safe: float,
    low: float | None,
    high: float | None,
    right: bool,  # noqa: FBT001  a test's table
) -> None:
    values = {"id": "a.b.c", "unit": Unit.DEGC, "address": "x", "low": low, "high": high, "safe_value": safe}
    if right:
        assert Point.model_validate(values).safe_value == safe
    else:
        with pytest.raises(ValidationError, match="lies outside low 12 to high 23"):
            Point.model_validate(values)
