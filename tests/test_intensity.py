"""Grid carbon intensity: real GB half-hours with their real defects."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from config.intensity import Basis, Boundary, Gas, Kind, plausible
from config.site import Carbon
from controller.carbon.intensity import IntensityFile, read_intensity, site_intensity

FILE = Path(__file__).parent / "data" / "gb_intensity_2023_01_06.csv"  # 20 to 31 January and June 2023
HALF = timedelta(minutes=30)
NONE = float("nan")


@pytest.fixture(scope="module")
def grid() -> IntensityFile:
    return read_intensity(FILE)


def kind_at(grid: IntensityFile, when: str) -> tuple[float, Kind] | None:
    found = grid.at(datetime.fromisoformat(when).replace(tzinfo=UTC))
    return None if found is None else (found.g_per_kwh, found.kind)


@pytest.mark.parametrize(
    ("when", "found"),
    [
        ("2023-01-24T10:30", (239.0, Kind.ACTUAL)),
        ("2023-01-24T11:00", (243.0, Kind.SUBSTITUTED)),  # the actual says 60, all around say 240
        ("2023-01-24T11:29", (243.0, Kind.SUBSTITUTED)),
        ("2023-01-31T01:00", (89.0, Kind.SUBSTITUTED)),  # a false zero
        ("2023-06-07T09:30", (185.0, Kind.SUBSTITUTED)),
        ("2023-06-07T10:00", (176.0, Kind.SUBSTITUTED)),
        ("2023-06-07T10:30", (170.0, Kind.SUBSTITUTED)),
        ("2023-06-07T11:00", (164.0, Kind.SUBSTITUTED)),
        ("2023-01-26T13:30", (214.0, Kind.SUBSTITUTED)),  # forecast without an actual
        ("2022-12-31T23:30", None),
        ("2023-03-01T00:00", None),  # a month without any record
    ],
)
def test_what_is_known_of_a_half_hour(grid: IntensityFile, when: str, found: tuple[float, Kind] | None) -> None:
    assert kind_at(grid, when) == found


def test_only_the_wrong_values_are_rejected(grid: IntensityFile) -> None:
    starts = [int(datetime(2023, 6, 1, tzinfo=UTC).timestamp()) + 1800 * n for n in range(48 * 30)]
    _, kinds = grid.lookup(starts)
    assert kinds.count(Kind.ACTUAL) == 48 * 30 - 4
    assert kinds.count(Kind.SUBSTITUTED) == 4


def test_a_value_is_never_bare(grid: IntensityFile) -> None:
    found = grid.at(datetime(2023, 6, 1, tzinfo=UTC))
    assert found is not None
    assert (found.basis.gas, found.basis.boundary) == (Gas.CO2, Boundary.GENERATION_AND_LOSSES)
    assert "NESO" in grid.source
    assert found.issued_at is None
    assert "CO2, generation, imports and losses" in str(found.basis)


@pytest.mark.parametrize(
    ("actual", "forecast", "believed"),
    [
        ([150, 0, 150], [150, 150, 150], [True, False, True]),
        ([0, 0, 0], [5, 5, 5], [False, False, False]),
        ([240, 60, 240], [240, 243, 240], [True, False, True]),
        ([140, 40, 45], [145, 150, 150], [True, True, True]),  # a real fall: the neighbour confirms it
        ([NONE, 150, NONE], [150, NONE, 150], [False, True, False]),  # without a forecast nothing contradicts it
        ([300], [150], [False]),
        ([-5], [5], [False]),
    ],
)
def test_the_plausibility_rule(actual: list[float], forecast: list[float], believed: list[bool]) -> None:
    assert plausible(np.array(actual, dtype=float), np.array(forecast, dtype=float)).tolist() == believed


def test_where_there_is_nothing_the_days_mean_stands_in() -> None:
    start = int(datetime(2023, 2, 6, tzinfo=UTC).timestamp())
    actual = np.array([100.0, 200.0, NONE, NONE] + [NONE] * 44 + [NONE] * 48)
    forecast = np.full(96, NONE)
    forecast[2] = 300.0
    grid = IntensityFile(start, actual, forecast, Basis())
    values, kinds = grid.lookup([start + 1800 * n for n in (0, 2, 3, 47, 48)])
    assert values[:4].tolist() == [100, 300, 200, 200]
    assert kinds == [Kind.ACTUAL, Kind.SUBSTITUTED, Kind.ESTIMATED, Kind.ESTIMATED, None]


def test_a_day_without_any_value_is_bridged_for_plans_and_a_longer_gap_is_not() -> None:
    start = datetime(2023, 2, 5, 23, 30, tzinfo=UTC)
    for days, bridged in ((1, True), (3, False)):
        actual = np.array([100.0, *[NONE] * (48 * days), 149.0, 149.0])
        grid = IntensityFile(int(start.timestamp()), actual, np.full(len(actual), NONE), Basis())
        middle = start + timedelta(hours=20)
        if bridged:
            whole = grid.actual_g_per_kwh(start, HALF, 50)
            np.testing.assert_allclose(whole, np.arange(100, 150))
            np.testing.assert_allclose(grid.actual_g_per_kwh(middle, HALF, 4), [140, 141, 142, 143])
            assert grid.lookup([int(middle.timestamp())])[1] == [None]  # what is accounted for is not invented
        else:
            with pytest.raises(LookupError, match="no intensity from 2023-02-06 23:30"):
                grid.actual_g_per_kwh(start + timedelta(days=1), HALF, 48)
            assert grid.actual_g_per_kwh(start + timedelta(days=3), HALF, 3).tolist() == [149.0, 149.0, 149.0]


def test_forecasts_and_actuals_are_kept_apart(grid: IntensityFile) -> None:
    start = datetime(2023, 6, 7, 9, tzinfo=UTC)
    assert grid.forecast_g_per_kwh(start, HALF, 2)[1] == 185
    assert grid.actual_g_per_kwh(start, HALF, 2)[1] == 185  # the zero is not believed
    first = grid.actual_g_per_kwh(datetime(2023, 6, 1, tzinfo=UTC), timedelta(minutes=15), 4)
    assert first[0] == first[1]
    with pytest.raises(LookupError, match="covers 2023-01-20"):
        grid.forecast_g_per_kwh(datetime(2030, 1, 1, tzinfo=UTC), HALF, 4)


def test_series_are_joined_only_on_one_basis(grid: IntensityFile) -> None:
    start = int(datetime(2023, 7, 1, tzinfo=UTC).timestamp())
    more = IntensityFile(start, np.array([111.0]), np.array([NONE]), Basis())
    joined = grid.joined(more)
    assert joined.span == (grid.span[0], datetime(2023, 7, 1, 0, 30, tzinfo=UTC))
    assert kind_at(joined, "2023-07-01T00:00") == (111.0, Kind.ACTUAL)
    assert kind_at(joined, "2023-06-07T09:30") == (185.0, Kind.SUBSTITUTED)
    lifecycle = IntensityFile(start, np.array([111.0]), np.array([NONE]), Basis(boundary=Boundary.LIFECYCLE))
    with pytest.raises(ValueError, match="cannot mix"):
        grid.joined(lifecycle)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from_utc,forecast_gco2_per_kwh\n2023-01-01T00:00Z,1\n", "no column 'actual_gco2_per_kwh'"),
        ("from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh\n", "no half-hours"),
        ("from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh\n2023-01-01T00:10Z,1,1\n", "line 2.*half-hours such as"),
        ("from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh\n2023-01-01T00:00,1,1\n", "line 2"),
        ("from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh\n2023-01-01T00:00Z,high,1\n", "line 2.*'high'"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=says):
        read_intensity(path)


def test_a_site_names_its_file_from_its_own_place() -> None:
    found = site_intensity(Carbon(intensity_file=Path("data") / FILE.name, intensity_source="ours"), FILE.parents[1])
    assert found is not None
    assert found.source == "ours"
    assert site_intensity(Carbon(), FILE.parent) is None


def test_a_half_hour_given_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    rows = [
        "from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh",
        "2023-01-01T00:00Z,90,100",
        "2023-01-01T00:00Z,90,180",
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    values, _ = read_intensity(path).lookup([int(datetime(2023, 1, 1, tzinfo=UTC).timestamp())])
    assert values.tolist() == [100.0]
