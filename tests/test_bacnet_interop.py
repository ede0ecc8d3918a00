"""Our BACnet ends against a stack in JavaScript that shares no code with them."""

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.bacnet.driver import BacnetDriver, BacnetOptions
from drivers.base import Quality, Rejected, priority
from drivers.clock import Clock
from drivers.registry import Shared
from tests.bacnet_field import ENABLE, GHOST, INSTANCE, SETPOINT, TEMPERATURE, bench

HERE = Path(__file__).parent / "interop"
pytestmark = [pytest.mark.servers, pytest.mark.real_time]


def node() -> str:
    """The interpreter; a missing one is a failure, since these tests were asked for."""
    found = shutil.which("node")
    assert found, "Node.js 20 or newer is needed for the BACnet peer"
    assert (HERE / "node_modules").is_dir(), f"run `npm ci` in {HERE}"
    return found


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


async def run_client(address: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        node(), str(HERE / "client.cjs"), address, str(INSTANCE), str(free_port()),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    answers: dict[str, Any] = json.loads(out)
    return answers


@asynccontextmanager
async def peer() -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """The JavaScript device, ready, and its port."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        node(), str(HERE / "device.cjs"), str(port), str(INSTANCE),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(15):
            first = await process.stdout.readline()
        assert first == b"ready\n", (await process.communicate())[1].decode()
        yield port, process
    finally:
        alive = process.returncode is None
        if alive:
            process.kill()
        _, err = await process.communicate()
        assert alive, f"the peer died: {err.decode()}"


async def test_its_client_sees_a_proper_device() -> None:
    async with bench(Clock.real()) as b:
        found = await run_client(f"127.0.0.1:{b.device.port}")
    assert (found["iAm"]["deviceId"], found["iAm"]["maxApdu"]) == (INSTANCE, 1476)
    assert found["objects"] == [[8, INSTANCE], [0, 1], [2, 1], [5, 1], [3, 1], [1, 1], [19, 1]]
    assert (found["sensor"], found["name"]) == ([19.5], ["hall.temperature"])
    assert found["many"] == [[19.5, 62], [20, 20], [0]]
    assert found["everything"] >= 12
    assert (found["operated"], found["ours"], found["relinquished"]) == ([23], [21.5], [20])
    assert (len(found["array"]), found["array"][7], found["array"][12]) == (16, 23, 21.5)
    assert found["slot"] == [21.5]
    assert found["enabled"] == [1]
    assert "Code:40" in found["denied"]
    assert "Code:37" in found["outOfRange"]
    assert "Code:31" in found["unknown"]
    assert found["reports"] == {"confirmed": [20, 19.5], "unconfirmed": [20, 19.5]}


@pytest.mark.parametrize("confirmed", [True, False])
async def test_our_driver_controls_its_device(*, confirmed: bool) -> None:
    clock, points = Clock.real(), (TEMPERATURE, SETPOINT, ENABLE, GHOST)
    async with peer() as (port, _), Shared() as shared:
        options = BacnetOptions(
            address=f"127.0.0.1:{port}",
            instance=INSTANCE,
            bind="127.0.0.1:0",
            cov=(SETPOINT.id,),
            cov_confirmed=confirmed,
        )
        async with BacnetDriver(points, options=options, clock=clock, shared=shared) as driver:
            readings = await driver.read(points)
            assert [r.value for r in readings] == [19.5, 20.0, 0.0, None]
            assert readings[3].quality is Quality.BAD
            changes = driver.changes()
            async with asyncio.timeout(5):
                assert (await anext(changes)).value == 20.0
                await driver.write(SETPOINT, 21.5, priority(13))
                assert (await anext(changes)).value == 21.5
            held = await driver.read_back(SETPOINT, priority(13))
            assert (held.present, held.slot, held.holder, held.default) == (21.5, 21.5, 13, 20.0)
            await driver.write(ENABLE, 1.0, priority(14))
            assert (await driver.read([ENABLE]))[0].value == 1.0
            await driver.relinquish(SETPOINT, priority(13))
            held = await driver.read_back(SETPOINT, priority(13))
            assert (held.present, held.slot, held.holder) == (20.0, None, None)
            refused = TEMPERATURE.model_copy(update={"writable": True})
            with pytest.raises(Rejected, match="write-access-denied"):
                await driver.write(refused, 21.0, priority(13))
            await changes.aclose()  # type: ignore[attr-defined]  # a generator
