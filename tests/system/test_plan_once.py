"""`plenum plan` where devices are silent: it says which, and plans nothing out of nothing."""

from datetime import timedelta
from pathlib import Path

import pytest

from bench.site import moved
from controller import service as service_
from controller.cli import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The town hall on ports where nobody answers."""
    monkeypatch.setattr(service_, "FIRST_CONTACT", timedelta(seconds=0.1))
    path = tmp_path / "townhall.yaml"
    path.write_text(moved().replace("path: data/townhall", "path: data"), encoding="utf-8")
    return path


def test_where_no_device_answers_there_is_no_plan(site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", str(site_file), "--listen", "1"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    for device in ("plant", "zones_a", "zones_b", "ahu", "meters", "occupancy", "lighting"):
        assert f"silent device: {device} (" in said.err
    assert "no device was heard" in said.err
