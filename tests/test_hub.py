"""The hub never waits, never exceeds a buffer's size and says what it lost."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.hub import Hub


async def test_every_reader_gets_every_item_in_order() -> None:
    hub: Hub[int] = Hub()
    with hub.subscribe() as one, hub.subscribe() as two:
        hub.publish(1, 2)
        hub.publish(3)
        assert await one.batch() == [1, 2, 3]
        assert await two.batch() == [1, 2, 3]


async def test_a_batch_waits_for_the_first_item() -> None:
    hub: Hub[str] = Hub()

    async def later() -> None:
        await asyncio.sleep(3600)
        hub.publish("news")

    loop = asyncio.get_running_loop()
    begun = loop.time()
    with hub.subscribe() as buffer:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(later(), name="later")
            assert await buffer.batch() == ["news"]
    assert loop.time() - begun == 3600


async def test_items_can_be_iterated_one_by_one() -> None:
    hub: Hub[int] = Hub()
    seen = []
    with hub.subscribe() as buffer:
        hub.publish(*range(5))
        async for item in buffer:
            seen.append(item)
            if item == 2:
                hub.publish(5)
            if item == 5:
                break
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_a_full_buffer_lets_the_oldest_go_and_counts_them() -> None:
    hub: Hub[int] = Hub()
    with hub.subscribe(size=3) as buffer, hub.subscribe(size=20) as roomy:
        hub.publish(1, 2)
        hub.publish(3, 4, 5)
        assert buffer.take() == [3, 4, 5]
        assert (buffer.dropped, roomy.dropped, hub.dropped) == (2, 0, 2)
        hub.publish(*range(7))
        assert buffer.take() == [4, 5, 6]
    assert hub.dropped == 6  # the count outlives the reader


async def test_the_latest_value_of_a_key_replaces_the_older() -> None:
    hub: Hub[tuple[str, int]] = Hub()
    with hub.subscribe(latest=lambda item: item[0]) as buffer:
        hub.publish(("a", 1), ("b", 2))
        hub.publish(("a", 3))
        assert len(buffer) == 2
        assert await buffer.batch() == [("a", 3), ("b", 2)]
        assert buffer.take() == []
        hub.publish(("b", 4))
        assert buffer.take() == [("b", 4)]
    assert hub.dropped == 0


async def test_a_reader_that_left_gets_nothing_and_costs_nothing() -> None:
    hub: Hub[int] = Hub()
    with hub.subscribe() as buffer:
        pass
    hub.publish(1)
    assert buffer.take() == []


async def test_a_reader_leaves_also_when_it_fails() -> None:
    hub: Hub[int] = Hub()
    with pytest.raises(KeyError), hub.subscribe() as buffer:
        raise KeyError
    hub.publish(1)
    assert len(buffer) == 0


async def test_a_cancelled_wait_loses_nothing() -> None:
    hub: Hub[int] = Hub()
    with hub.subscribe() as buffer:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await buffer.batch()
        hub.publish(7)
        assert await buffer.batch() == [7]


@given(batches=st.lists(st.lists(st.integers(0, 9), max_size=12), max_size=12), size=st.integers(1, 8))
def test_a_buffer_holds_the_newest_items_and_accounts_for_the_rest(batches: list[list[int]], size: int) -> None:
    hub: Hub[int] = Hub()
    with hub.subscribe(size=size) as buffer:
        for batch in batches:
            hub.publish(*batch)
            assert len(buffer) <= size
        everything = [item for batch in batches for item in batch]
        assert buffer.take() == everything[-size:]
        assert buffer.dropped == max(0, len(everything) - size)


@given(batches=st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers()), max_size=12), max_size=12))
def test_latest_is_the_last_item_of_each_key(batches: list[list[tuple[int, int]]]) -> None:
    hub: Hub[tuple[int, int]] = Hub()
    with hub.subscribe(latest=lambda item: item[0]) as buffer:
        for batch in batches:
            hub.publish(*batch)
        assert dict(buffer.take()) == dict(item for batch in batches for item in batch)
