"""`plenum run` and `plenum plan` below the command line: directories, modes, words, metrics, the door."""

import asyncio
import socket
from contextlib import closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from config.load import load_site
from config.site import Mode
from controller.commands import _heard, advisory, print_plan
from controller.serving import Handed, open_door, say_handed
from controller.terminal import data_directory
from controller.web.serve import NotLoopback
from drivers.base import Quality, Reading
from site_sims.prelude import SITE
from tests.town_hall_service import town_hall

HALL = "townhall.hall.temperature"


def test_data_lie_beside_the_site_file() -> None:
    site = load_site(SITE)
    assert data_directory(site, SITE) == SITE.parent / "data" / "townhall"


def test_advisory_changes_the_mode_alone() -> None:
    site = load_site(SITE)
    changed = advisory(site)
    assert (site.control.mode, changed.control.mode) == (Mode.CONTROL, Mode.ADVISORY)
    assert changed.control.lease == site.control.lease
    assert changed.points == site.points


async def test_a_printed_plan_says_hours_money_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(60)
        last = hall.service.planner.last
        assert last is not None
        print_plan(hall.site, last[1])
    out = capsys.readouterr().out
    assert "the next 24 hours" in out
    assert "05:00" in out
    assert "GBP" in out
    assert "Main hall" in out
    assert "degC" not in out


async def test_a_plan_names_the_devices_that_were_silent_and_the_points(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        field, now = hall.building.field, hall.clock.now
        await asyncio.sleep(60)
        assert _heard(hall.service, now()) == (True, [])
        bad = Reading(point=HALL, time=now(), received=now(), value=None, quality=Quality.BAD)
        hall.service.state.update([bad])
        assert _heard(hall.service, now()) == (True, [f"not heard: {HALL}"])
        field.devices["zones_a"].reachable = False
        await asyncio.sleep(120)
        heard, missing = _heard(hall.service, now())
        assert heard
        assert [words.split("(")[0] for words in missing] == ["silent device: zones_a "]
        for device in field.devices.values():
            device.reachable = False
        await asyncio.sleep(120)
        heard, missing = _heard(hall.service, now())
        assert not heard
        assert len(missing) == len(hall.site.devices)


async def test_metrics_are_those_of_the_service(tmp_path: Path) -> None:
    async with town_hall(tmp_path) as hall:
        await asyncio.sleep(1800 + 30)
        registry = CollectorRegistry()
        registry.register(hall.backend.measures)
        rows = dict(
            line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")
        )
        held = [name for name, status in hall.service.dispatch.status.items() if status.expires is not None]
        assert float(rows["plenum_readings_total"]) > 80 * 30 * 0.5
        assert float(rows['plenum_device_up{device="plant"}']) == 1.0
        assert float(rows['plenum_device_polls_total{device="plant"}']) == hall.service.links["plant"].polls
        assert float(rows['plenum_plans_total{status="optimal"}']) >= 2
        assert float(rows["plenum_level"]) == 0.0
        assert float(rows["plenum_leases"]) == len(held) > 10
        assert float(rows["plenum_readings_dropped_total"]) == 0.0


def test_the_door_opens_at_the_next_free_port() -> None:
    with open_door("127.0.0.1", 0).socket as first:
        port = first.getsockname()[1]
        with pytest.raises(OSError, match=str(port)):
            open_door("127.0.0.1", port)
        next_door = open_door("127.0.0.1", port, tries=20)
        with closing(next_door.socket):
            assert next_door.socket.getsockname()[1] > port
            assert next_door.address == f"http://127.0.0.1:{next_door.socket.getsockname()[1]}"
    assert isinstance(first, socket.socket)


def test_the_door_opens_to_this_machine_only() -> None:
    with pytest.raises(NotLoopback):
        open_door("0.0.0.0", 0)


def test_what_was_handed_back_is_told_device_by_device() -> None:
    site, said = load_site(SITE), []
    points = ("townhall.boiler.enable", "townhall.hall.heating_setpoint", "townhall.council.heating_setpoint")
    say_handed(Handed(points=points, left=(points[2],)), site, said.append)
    assert said[0] == "Handed back 2 of 3 points to the building."
    assert said[1:3] == ["  plant: boiler.enable", "  zones_a: hall.heating_setpoint"]
    assert "not proven free: townhall.council.heating_setpoint" in said[3]
