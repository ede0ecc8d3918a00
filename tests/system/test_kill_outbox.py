"""Killed with -9 at random moments of writing and sending, what was acknowledged arrives, once in effect."""

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from config.influx import Influx
from controller.store.forward import forwarding
from controller.store.influx import InfluxStore
from controller.store.lines import lines_of
from controller.store.outbox import Outbox
from drivers.clock import Clock
from tests.influx_server import LINE, InfluxServer, influx_server
from tests.system.outbox_child import batch

pytestmark = [pytest.mark.slow, pytest.mark.real_time, pytest.mark.timeout(180)]
KILLS = 8
CHILD = Path(__file__).with_name("outbox_child.py")


async def killed_after(seconds: float, directory: Path, run: int, url: str) -> int:
    """How many batches a child acknowledged before it was killed so long after its first one."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(directory), str(run), url,
        stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert child.stdout is not None
    first = await child.stdout.readline()
    assert first == b"0\n", "the child did not begin"
    await asyncio.sleep(seconds)
    child.kill()
    said = await child.stdout.read()
    await child.wait()
    return 1 + said.count(b"\n")


def at(server: InfluxServer, line: str) -> dict[str, float] | None:
    found = LINE.fullmatch(line)
    assert found
    return server.rows.get((found[1], found[2]), {}).get(int(found[7]))


async def test_nothing_acknowledged_is_lost_or_doubled_in_eight_kills(tmp_path: Path) -> None:
    seeded, acknowledged = random.Random(8), 0
    async with influx_server() as server:
        done = [
            (run, await killed_after(seeded.uniform(0.0, 0.5), tmp_path, run, server.url))
            for run in range(1, KILLS + 1)
        ]
        options = Influx.model_validate({"version": 1, "url": server.url, "database": "plenum"})
        clock = Clock.real()
        database = InfluxStore(options, site="s", base=tmp_path, clock=clock)
        outbox = Outbox(tmp_path, site="s", clock=clock, budget_bytes=10**9)
        async with forwarding(outbox, database, clock), asyncio.timeout(60):
            while outbox.backlog.lines:
                await asyncio.sleep(0.01)
        for run, batches in done:
            for number in range(batches):
                for line in lines_of(batch(run, number), site="s"):
                    row = at(server, line)
                    assert row is not None, f"run {run}: {line} was acknowledged and is gone"
                    assert f" v={row['v']!r}," in line
                    acknowledged += 1
    assert acknowledged > 2_000
    assert server.points - acknowledged <= KILLS * 20, "at each kill at most one batch was kept and not yet said"
