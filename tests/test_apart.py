"""Work in a process of its own: its result, its death, and that the loop goes on meanwhile."""

import asyncio
import math
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from controller.apart import WorkFailed, apart, here

pytestmark = pytest.mark.real_time


def endless(file: Path) -> partial[None]:
    """Work that says which process it is in and then never ends."""
    return partial(
        exec, f"import os, pathlib, time\npathlib.Path({str(file)!r}).write_text(str(os.getpid()))\ntime.sleep(1e6)"
    )


def pid_in(file: Path) -> int | None:
    """What the endless work wrote; None before."""
    text = file.read_text(encoding="ascii") if file.exists() else ""
    return int(text) if text else None


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_result_comes_back_from_another_process() -> None:
    assert await apart(os.getpid) != os.getpid()
    assert await here(os.getpid) == os.getpid()
    assert await apart(partial(math.comb, 300, 150)) == math.comb(300, 150)


async def test_what_the_work_prints_is_no_result() -> None:
    assert await apart(partial(print, "hello")) is None


async def test_the_loop_goes_on_meanwhile() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(tick(), name="tick")
        await apart(partial(sum, range(1_000_000)))
        task.cancel()
    assert ticks > 5


@pytest.mark.parametrize(("work", "end"), [(os.abort, "-6"), (partial(math.sqrt, -1.0), "1")])
async def test_a_process_that_fails_is_said(work: Callable[[], object], end: str) -> None:
    with pytest.raises(WorkFailed, match=f"ended with {end}"):
        await apart(work)


async def test_what_takes_too_long_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with pytest.raises(WorkFailed, match=r"no answer within 3 s"):
        await apart(endless(file), within=timedelta(seconds=3))
    pid = pid_in(file)
    assert pid is None or not alive(pid)


async def test_a_stop_kills_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    async with asyncio.TaskGroup() as group:
        task = group.create_task(apart(endless(file)), name="work")
        while (pid := pid_in(file)) is None:
            await asyncio.sleep(0.01)
        assert alive(pid)
        task.cancel()
    assert not alive(pid)
