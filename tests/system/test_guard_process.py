"""The guard as the process it is: real packets, real files, a service that falls silent."""

import asyncio
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from config.load import load_site
from controller.guard import Heartbeat
from controller.leases import Fenced, Leases
from controller.store.base import Lease
from controller.store.control import control_database
from drivers.clock import Clock
from site_sims.bacnet_devices import serve_bacnet
from site_sims.field import Field, FieldDevice, FieldObject

SITE = """
id: b
name: B
timezone: Europe/London
location: {{latitude: 52, longitude: -2}}
buildings:
  - id: b
    name: B
    floor_area_m2: 100
    zones:
      - id: hall
        area_m2: 100
        comfort: {{occupied: {{low: 20, high: 23.5}}, unoccupied: {{low: 12, high: 26}}}}
devices:
  - id: zones
    driver: bacnet
    options: {{address: '127.0.0.1:{port}', instance: 1001, bind: '127.0.0.1:47809'}}
    points:
      - {{id: b.hall.temperature, role: zone_temperature, unit: degC, address: 'analog-input,1'}}
      - {{id: b.hall.heating_setpoint, role: heating_setpoint, unit: degC, address: 'analog-value,1',
          writable: true, low: 12, high: 23.5}}
"""
POINT = "b.hall.heating_setpoint"


async def falls(setpoint: FieldObject, within_s: float) -> bool:
    """Whether our slot becomes empty within that time."""
    for _ in range(round(within_s / 0.05)):
        if setpoint.array[12] is None:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.real_time
@pytest.mark.slow
async def test_a_silent_service_is_relieved_by_the_guard_process(tmp_path: Path) -> None:
    clock = Clock.real()
    setpoint = FieldObject(key="hall.heating_setpoint", address="analog-value,1", commandable=True, default=20.0)
    box = FieldDevice(id="zones", protocol="bacnet", instance=1001, objects={setpoint.key: setpoint})
    file = tmp_path / "site.yaml"
    async with serve_bacnet(Field([box]), clock=clock), control_database(tmp_path) as database:
        file.write_text(SITE.format(port=box.port))
        load_site(file)
        leases = Leases(database, clock=clock)
        await leases.begin()
        expires = clock.now() + timedelta(minutes=30)
        lease = Lease(point=POINT, device="zones", priority=13, value=22.0, expires=expires, decision="p", epoch=1)
        await leases.take(lease)
        setpoint.write(22.0, 13)
        setpoint.write(19.0, 15)
        heart = Heartbeat(tmp_path)
        guard = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "controller.guard"),
            *("--data", str(tmp_path), "--site", str(file), "--stale", "2"),
        )
        for _ in range(40):
            heart.beat()
            await asyncio.sleep(0.2)
        assert setpoint.array[12] == 22.0
        assert guard.returncode is None
        assert await falls(setpoint, 10.0)
        assert setpoint.value == 19.0
        await asyncio.sleep(1.0)
        assert await leases.all() == ()
        with pytest.raises(Fenced):  # had it only been stopped, it would have to look anew now
            await leases.take(lease)
        guard.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(guard.wait(), 10.0) == 0
