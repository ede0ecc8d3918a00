"""`plenum report`: what it prints, and what it refuses with which exit code."""

import asyncio
import csv
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from report_site import ESTATE, estate, every, fill, rising, site_file, store

from controller.cli import run
from drivers.clock import Clock

START = datetime(2024, 2, 28, 23, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site file beside a store that holds the leap day and an hour around it."""

    async def filled() -> None:
        async with store(tmp_path, Clock.real()) as kept:
            await fill(kept, every(tuple(estate().points), rising(1.0, 4000.0)), START, 26)

    asyncio.run(filled())
    return site_file(tmp_path)


def leap_day(site: Path, *more: str) -> list[str]:
    return ["report", str(site), "--from", "2024-02-29", "--to", "2024-02-29", *more]


def test_a_day_in_all_formats(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(leap_day(site)) == 0
    text = capsys.readouterr()
    assert "29 February 2024, 48 half-hours" in text.out
    assert text.err == ""
    assert run(leap_day(site, "--format", "json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["total"]["kwh"] == 24 * (1 + 10 + 1)
    assert run(leap_day(site, "--format", "csv")) == 0
    assert len(list(csv.DictReader(StringIO(capsys.readouterr().out)))) == 7


def test_a_month_of_which_one_day_was_read_says_how_little_that_is(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(site), "--month", "2024-02", "--format", "json"]) == 0
    quality = json.loads(capsys.readouterr().out)["total"]["quality"]
    assert (quality["half_hours"], quality["missing"]) == (3 * 29 * 48, 3 * (29 * 48 - 50))


def test_another_place_for_the_readings(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    assert run(leap_day(site)) == 2
    assert "name the directory with --data" in capsys.readouterr().err
    assert not (tmp_path / "data").exists(), "nothing is made by looking"
    assert run(leap_day(site, "--data", str(tmp_path / "elsewhere"))) == 0


def test_an_intensity_may_be_given(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "grid.csv"
    rows = [f"2024-02-29T{n // 2:02}:{n % 2 * 30:02}Z,100,100" for n in range(48)]
    file.write_text("\n".join(["from_utc,forecast_gco2_per_kwh,actual_gco2_per_kwh", *rows]), encoding="utf-8")
    assert run(leap_day(site, "--format", "json", "--intensity", str(file))) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["buildings"][1]["entries"][0]["grid"]["kg"] == 2.4
    assert shown["sources"]["intensity"]["name"] == "grid.csv"
    file.write_text("\n".join(["from_utc,forecast_gco2_per_kwh", *rows]), encoding="utf-8")
    assert run(leap_day(site, "--intensity", str(file))) == 2
    assert "no column" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 2, "which days? write --month 2023-02"),
        (["--from", "2024-02-29"], 2, "which days?"),
        (["--month", "2024-13"], 2, "not a month; write year and month"),
        (["--month", "2024-02", "--to", "2024-02-29"], 2, "exclude each other"),
        (["--from", "29.2.2024", "--to", "2024-02-29"], 2, "--from '29.2.2024' is not a day"),
        (["--from", "2024-02-29", "--to", "2024-02-01"], 2, "is no period"),
        (["--month", "2999-01"], 2, "has not begun"),
        (["--month", "2019-06"], 2, "no 2019 factor"),
        (["--month", "2024-01"], 1, "the store holds readings from 2024-02-28 to 2024-03-01"),
        (["--month", "2024-02", "--intensity", "gone.csv"], 2, "there is no such file"),
    ],
)
def test_what_cannot_be_reported_is_refused_with_its_cure(
    site: Path, options: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(site), *options]) == code
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_site_without_meters_has_nothing_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin, end = ESTATE.index("meters:\n  - {id: hall"), ESTATE.index("tariffs:")
    bare = site_file(tmp_path, ESTATE[:begin] + ESTATE[end:])
    assert run(["report", str(bare), "--month", "2024-02"]) == 2
    assert "list them under 'meters'" in capsys.readouterr().err


def test_a_broken_site_file_is_named_by_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = site_file(tmp_path, ESTATE.replace("fuel: gas, point", "fuel: coal, point"))
    assert run(["report", str(broken), "--month", "2024-02"]) == 2
    assert "estate.yaml:" in capsys.readouterr().err
