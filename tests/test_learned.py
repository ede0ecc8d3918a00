"""What has been learned, on disk and back."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from controller.learned import MODEL_FILE, Learned, boiler_of, heat_pump_of, load, priors
from tests.conftest import EPOCH
from tests.controlled import small_site
from tests.town_hall import town_hall_site

SITE = town_hall_site()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / MODEL_FILE


def taught() -> Learned:
    begin = priors(SITE)
    hall = replace(begin.zones["hall"], outdoor=0.0123, offset_k=(0.1, -0.2), fitted_rmse_k=0.3)
    return replace(
        begin,
        zones={**begin.zones, "hall": hall},
        emitter_scale={"hall": 0.9},
        heat_pump_cop=0.85,
        accepted_at=EPOCH,
        verdict="1 of 10 zones",
    )


def test_without_a_file_the_priors_hold(file: Path) -> None:
    assert load(file, SITE) == priors(SITE)
    assert set(priors(SITE).zones) == {zone.id for zone in SITE.buildings[0].zones}


def test_what_is_saved_comes_back_the_same(file: Path) -> None:
    taught().save(file)
    assert load(file, SITE) == taught()
    assert not file.with_suffix(".new").exists()


def test_zones_that_are_new_get_priors_and_those_that_are_gone_are_dropped(file: Path) -> None:
    model = taught()
    zones = {**model.zones, "cellar": model.zones["hall"]}
    del zones["office_n1"]
    replace(model, zones=zones).save(file)
    loaded = load(file, SITE)
    assert list(loaded.zones) == list(priors(SITE).zones)
    assert loaded.zones["office_n1"] == priors(SITE).zones["office_n1"]
    assert loaded.zones["hall"] == model.zones["hall"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"zones": {"hall": 5}, "accepted_at": null}',
        '{"zones": {}, "accepted_at": "yesterday"}',
        '{"zones": {}, "accepted_at": null, "unheard_of": 1}',
        '{"zones": {"hall": {"offset_k": []}}, "accepted_at": null}',
    ],
)
def test_a_damaged_file_means_a_new_beginning_and_a_word(
    text: str, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(text, encoding="utf-8")
    assert load(file, SITE) == priors(SITE)
    (said,) = caplog.records
    assert said.levelno == logging.WARNING
    assert str(file) in said.getMessage()


def test_the_file_can_be_read_by_people(file: Path) -> None:
    taught().save(file)
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["zones"]["hall"]["outdoor"] == 0.0123
    assert content["accepted_at"] == "2023-02-06T00:00:00+00:00"


def test_the_plant_is_found_or_missing() -> None:
    pump, boiler = heat_pump_of(SITE), boiler_of(SITE)
    assert pump is not None
    assert boiler is not None
    assert (pump.id, boiler.id) == ("heat_pump", "boiler")
    bare = small_site({"zones": [{"id": "b.hall.temperature", "unit": "degC", "address": "ai,1"}]})
    assert heat_pump_of(bare) is None
