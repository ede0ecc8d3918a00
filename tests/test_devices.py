"""Work for every device at once: one that fails is told at once and raised last."""

import asyncio

import pytest

from controller.devices import DriverBug, serving_devices


async def fails(after_s: float) -> None:
    await asyncio.sleep(after_s)
    raise KeyError("oh")


async def lives(log: list[str]) -> None:
    try:
        await asyncio.sleep(1e6)
    finally:
        log.append("closed")


async def test_others_go_on_until_the_block_ends() -> None:
    log: list[str] = []

    async def block() -> None:
        async with serving_devices({"a": fails(1), "b": lives(log)}) as ends:
            with pytest.raises(DriverBug, match="driver of a"):
                await ends.fail_at_first()
            await asyncio.sleep(100)
            log.append("handed back")

    with pytest.raises(ExceptionGroup) as raised:
        await block()
    assert raised.group_contains(KeyError, match="oh")
    assert log == ["handed back", "closed"]


async def test_what_fails_is_raised_beside_what_the_block_raises() -> None:
    async def block() -> None:
        async with serving_devices({"a": fails(1), "b": fails(2)}) as ends:
            await ends.all()
            raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as raised:
        await block()
    assert [type(error) for error in raised.value.exceptions] == [KeyError, KeyError, ZeroDivisionError]


async def test_the_end_of_the_block_ends_the_work() -> None:
    log: list[str] = []
    async with serving_devices({"a": lives(log), "b": lives(log)}):
        await asyncio.sleep(1)
    assert log == ["closed", "closed"]


async def test_nothing_to_do_is_done_at_once() -> None:
    async with serving_devices({}) as ends:
        await ends.all()
