"""The tuning of the building's own control, on a short period and few knobs."""

from datetime import UTC, datetime
from pathlib import Path
from shutil import copy

from site_sims.truth import SITES, BmsTruth, load_truth
from site_sims.tune import KNOBS, Task, attempt, write_settings
from tests.town_hall import town_hall_site


def task(settings: BmsTruth) -> Task:
    start = datetime(2023, 1, 17, tzinfo=UTC)
    truth = SITES / "townhall.yaml"
    return Task(site=town_hall_site(), truth=truth, settings=settings, seed=1, start=start, days=1, warm_up_days=1)


def test_discomfort_is_dear() -> None:
    cold = attempt(task(BmsTruth(occupied_degc=18.0)))
    warm = attempt(task(BmsTruth(occupied_degc=20.6)))
    assert cold.score.cost < warm.score.cost
    assert cold.objective > warm.objective


def test_every_knob_is_a_setting_in_rising_steps() -> None:
    assert {name for name, _ in KNOBS} <= set(BmsTruth.model_fields)
    assert all(list(values) == sorted(set(values)) and len(values) > 1 for _, values in KNOBS)


def test_tuned_settings_are_written_beside_their_command(tmp_path: Path) -> None:
    path = tmp_path / "townhall.yaml"
    copy(SITES / "townhall.yaml", path)
    trial = attempt(task(BmsTruth(occupied_degc=20.3, curve_slope=1.1)))
    write_settings(trial, path, command="plenum simulate --tune-baseline")
    assert load_truth(path).bms == trial.settings
    assert load_truth(path).zones == load_truth(SITES / "townhall.yaml").zones
    assert "# Tuned by `plenum simulate --tune-baseline`" in path.read_text()
    once = path.read_text()
    write_settings(trial, path, command="plenum simulate --tune-baseline")
    assert path.read_text().count("Tuned by") == 1
    assert load_truth(path) == load_truth(path)
    assert len(once.splitlines()) == len(path.read_text().splitlines())
