"""Every async test runs in virtual time unless marked `real_time`; none may leave a task behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from hypothesis import settings

from drivers.clock import Clock
from site_sims.virtual_time import VirtualTimeLoop

settings.register_profile("repeatable", derandomize=True, deadline=None)  # the same cases every run, however slow
settings.load_profile("repeatable")

EPOCH = datetime(2023, 2, 6, tzinfo=UTC)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
async def no_task_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"tasks still running: {left}"


@pytest.fixture
def clock() -> Clock:
    """Virtual wall time that begins on Monday 6 February 2023, 00:00 UTC."""
    return Clock(EPOCH)
