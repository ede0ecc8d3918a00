"""The demonstration and the service as people start them: processes, signals, real packets, real time."""

import asyncio
import csv
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from config.load import load_site
from controller.audit import export
from controller.guard import own_way
from controller.guarding import LOCK_FILE
from controller.leases import read_leases
from drivers.base import ReadBack, priority
from drivers.clock import Clock
from drivers.registry import Shared, make_driver
from tests.shifted import shifted_site

HALL = "townhall.hall.heating_setpoint"
PATIENCE_S = 60.0  # two cores may be busy with other tests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@contextmanager
def _process(*arguments: str, **more: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # type: ignore[call-overload]  # what `more` holds is known to the callers
        [sys.executable, "-u", "-m", *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True, **more
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()


def _until(process: "subprocess.Popen[str]", words: str) -> str:
    """Read its lines until one holds these words."""
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise AssertionError(f"ended with {process.wait()} before it said {words!r}")


def _get(address: str) -> dict[str, object]:
    found = httpx.get(address, timeout=10).raise_for_status().json()
    assert isinstance(found, dict)
    return found


def _page(address: str) -> str:
    return httpx.get(address, timeout=10).raise_for_status().text


async def _slot(site_file: Path, point: str) -> ReadBack:
    """What the device itself says, asked over BACnet/IP from here."""
    site, clock = load_site(site_file), Clock.real()
    device = next(d for d in site.devices if any(p.id == point for p in d.points))
    async with Shared() as shared, make_driver(own_way(device), clock=clock, shared=shared) as driver:
        return await driver.read_back(site.points[point], priority(13))


def test_the_demo_shows_a_first_write_and_hands_everything_back(tmp_path: Path) -> None:
    site = shifted_site(tmp_path, 500)
    arguments = ["demo", "--site", str(site), "--port", "8580", "--data", str(tmp_path / "demo")]
    with _process("controller", *arguments) as demo:
        address = _until(demo, "Running.").split()[2]
        assert address == "http://127.0.0.1:8580"
        began = perf_counter()
        while True:
            point = _get(f"{address}/api/v1/points/{HALL}")
            if point["lease_value"] is not None and str(point["read_back"]).startswith("applied"):
                break
            assert perf_counter() - began < PATIENCE_S
        state = _get(f"{address}/api/v1/state")
        devices = state["devices"]
        assert isinstance(devices, list)
        assert {device["driver"] for device in devices if device["up"]} == {"bacnet", "mqtt"}
        text = _page(f"{address}/")
        assert "Main hall" in text
        assert "Unplug the boiler" in text
        assert "is heated" in text or "needs no heat" in text  # the reason in words
        assert "plenum_readings_total" in _page(f"{address}/metrics")
        until = datetime.fromisoformat(str(state["time"])) + timedelta(hours=4)
        order = {"value": 21.5, "until": until.isoformat(), "reason": "choir practice"}
        held = httpx.post(f"{address}/api/v1/points/{HALL}/override", json=order, timeout=10).raise_for_status()
        assert held.json()["value"] == 21.5
        pressed = httpx.post(f"{address}/demo/boiler", follow_redirects=True, timeout=10).raise_for_status()
        assert "Mend the boiler" in pressed.text
        stopped = perf_counter()
        demo.send_signal(signal.SIGINT)
        words = _until(demo, "Handed back")
        assert demo.wait(PATIENCE_S) == 0
        assert perf_counter() - stopped < 15
        found = re.search(r"Handed back (\d+) of (\d+)", words)
        assert found is not None
        assert found[1] == found[2]
        assert int(found[1]) >= 10
    assert read_leases(tmp_path / "demo") == ()


@pytest.mark.servers
def test_a_killed_service_is_handed_back_by_its_guard_within_a_minute(tmp_path: Path) -> None:
    site = shifted_site(tmp_path, 600)
    data = tmp_path / "demo"
    arguments = ["demo", "--pace", "1", "--site", str(site), "--port", "8680", "--data", str(data)]
    with _process("controller", *arguments) as demo:
        address = _until(demo, "Running.").split()[2]
        began = perf_counter()
        while _get(f"{address}/api/v1/points/{HALL}")["lease_value"] is None:
            assert perf_counter() - began < PATIENCE_S
        assert asyncio.run(_slot(site, HALL)).slot is not None
        held = {lease.point for lease in read_leases(data)}
        assert HALL in held
        demo.kill()
        killed = perf_counter()
        demo.wait()
        while perf_counter() - killed < 60 and read_leases(data):
            asyncio.run(asyncio.sleep(0.5))
        assert read_leases(data) == ()
        back = asyncio.run(_slot(site, HALL))
        assert back.slot is None
        assert back.holder == 15  # the building's own schedule
        freed = {
            entry["subject"] for entry in _audit(data) if entry["actor"] == "guard" and entry["result"] == "applied"
        }
        assert freed == held
        guard = int((data / LOCK_FILE).read_text())
        while Path(f"/proc/{guard}").exists():  # the building ends it and itself
            assert perf_counter() - killed < 2 * PATIENCE_S
            asyncio.run(asyncio.sleep(0.5))


def _audit(data: Path) -> list[dict[str, str]]:
    text = io.StringIO()
    export(data, text)
    return list(csv.DictReader(io.StringIO(text.getvalue())))


@pytest.mark.servers
def test_the_service_plans_controls_and_hands_back(tmp_path: Path) -> None:
    site = shifted_site(tmp_path, 700)
    demo = tmp_path / "demo"
    demo.mkdir()
    with _process("site_sims.world", str(site), "--data", str(demo), "--real", stdin=subprocess.PIPE) as building:
        _until(building, "ready")
        with _process("controller", "plan", str(site), "--listen", "20", "--json") as planning:
            out, _ = planning.communicate(timeout=120)
            assert planning.returncode == 0
        plan = json.loads(out)
        assert plan["status"] == "optimal"
        assert len(plan["reasons"]) >= 10
        assert asyncio.run(_slot(site, HALL)).slot is None  # nothing was written
        with _process("controller", "run", str(site)) as service:
            address = re.search(r"http://\S+[0-9]", _until(service, "running"))
            assert address is not None
            began = perf_counter()
            while asyncio.run(_slot(site, HALL)).slot is None:
                assert perf_counter() - began < PATIENCE_S
            health = _get(f"{address[0]}/api/v1/health")
            assert {"Guard", "Clock", "Disk"} <= {check["name"] for check in health["checks"]}  # type: ignore[attr-defined]  # JSON
            second = subprocess.run([sys.executable, "-m", "controller", "run", str(site)], check=False, timeout=60)
            assert second.returncode == 3
            service.send_signal(signal.SIGTERM)
            _until(service, "Handed back")
            assert service.wait(PATIENCE_S) == 0
        assert asyncio.run(_slot(site, HALL)).slot is None
        assert not read_leases(tmp_path / "data")
        assert building.stdin is not None
        building.stdin.close()
        assert building.wait(PATIENCE_S) == 0
