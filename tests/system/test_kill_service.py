"""The whole service killed with -9 while it controls real devices: it loses nothing and is in control again."""

from pathlib import Path

import pytest

from bench.field import field_process
from bench.kill import end_guard, kill_often, site_copy
from controller.leases import read_leases

pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.timeout(300)]

AFTER_S = (1.5, 4.0)  # in control


async def test_nothing_kept_is_lost_in_two_kills_and_control_comes_back(tmp_path: Path) -> None:
    site_file, data = site_copy(tmp_path), tmp_path / "data"
    try:
        async with field_process(site_file, real=True) as world:
            toll = await kill_often(site_file, world, moments_s=AFTER_S, in_control_first=True)
    finally:
        end_guard(data)
    log = (tmp_path / "service.log").read_text(encoding="utf-8")
    assert toll.lost == 0, log
    assert toll.broken == 0, "the audit's chain"
    assert len(toll.recovered_s) == 3, "in control after each start"
    assert min(len(toll.kept.readings), len(toll.kept.commands), len(toll.kept.audit)) > 10
    assert not read_leases(data), "and at the end all is handed back"
    assert log.count("second supervisor") == log.count("another supervisor") == 0
    assert "Traceback" not in log
