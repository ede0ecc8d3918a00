"""The report of some simulated days under the whole service, against the plant's own registers."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.cli import run
from site_sims.forecasts import INTENSITY
from site_sims.prelude import SITE
from site_sims.score import HeatValue, Score
from site_sims.virtual_time import VirtualTimeLoop
from tests.system.house import house

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FIRST = datetime(2023, 2, 17, tzinfo=UTC)  # local midnight too
DAYS = 3
FREE = HeatValue(price=0.0, grid_kg=0.0, annual_kg=0.0)  # what is stored is on no meter
STEP_KWH = 0.1  # of a register, which rounds down; two of them, at both ends
HALF_HOURS = 48 * DAYS


def lived(directory: Path) -> Score:
    """The days, through the production program into a store."""

    async def live() -> Score:
        async with house(directory, FIRST) as home:
            await home.clock.sleep_until(FIRST + timedelta(days=DAYS, seconds=1))
            assert home.scorer is not None
            score = home.scorer.score(FREE)
            await home.clock.sleep_until(FIRST + timedelta(days=DAYS, minutes=2))
        return score

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live())


def test_the_report_agrees_with_the_plants_own_registers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score = lived(tmp_path)
    command = [
        "report", str(SITE), "--data", str(tmp_path), "--from", "2023-02-17", "--to", "2023-02-19",
        "--intensity", str(INTENSITY), "--format", "json",
    ]  # fmt: skip
    assert run(command) == 0
    printed = capsys.readouterr().out
    report = json.loads(printed)
    entries = {(one["flow"], one["fuel"]): one for one in report["buildings"][0]["entries"]}
    bought, gas = entries["bought", "electricity"], entries["bought", "gas"]
    exported = entries["exported", "electricity"]
    assert bought["quality"] == gas["quality"]
    assert bought["quality"]["actual"] == bought["quality"]["half_hours"] == HALF_HOURS
    assert bought["kwh"] - exported["kwh"] == pytest.approx(score.energy_kwh["electricity"], abs=STEP_KWH)
    assert gas["kwh"] == pytest.approx(score.energy_kwh["gas"], abs=STEP_KWH)
    # Registers are cut at the half-hours, so money and carbon may stray by a step at each change of rate.
    assert report["total"]["cost"] == pytest.approx(score.cost, abs=STEP_KWH * 0.38 * 4 * DAYS)
    assert report["total"]["annual"]["kgco2e"] == pytest.approx(score.carbon_kg["annual"], abs=STEP_KWH * 0.4)
    assert report["total"]["grid"]["kg"] == pytest.approx(score.carbon_kg["grid"], abs=STEP_KWH * 0.3 * 4)
    assert bought["kwh"] > 500
    assert gas["kwh"] > 50
    assert run(command) == 0
    assert capsys.readouterr().out == printed, "a second report is the same to the byte"
