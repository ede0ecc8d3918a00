"""The outbox: in order, over restarts, within its budget."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from controller.store.base import StoreError
from controller.store.lines import key_of, lines_of
from controller.store.outbox import OUTBOX_FILE, Outbox, Refusal
from drivers.base import Reading
from drivers.clock import Clock

START = datetime(2023, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MB = 1_000_000


def reading(minute: float, value: float = 20.0, point: str = "b.hall.temperature") -> Reading:
    when = START + minute * MINUTE
    return Reading(point=point, time=when, received=when, value=value)


def an_outbox(directory: Path, clock: Clock, budget_bytes: int = 100 * MB) -> Outbox:
    return Outbox(directory, site="s", clock=clock, budget_bytes=budget_bytes)


async def drained(outbox: Outbox, most: int = 5_000) -> list[str]:
    lines: list[str] = []
    while (parcel := await outbox.oldest(most)) is not None:
        lines += parcel.lines
        await outbox.settle(parcel)
    return lines


def lines_for(readings: Sequence[Reading]) -> list[str]:
    return lines_of(readings, site="s")


@pytest.fixture
async def outbox(tmp_path: Path, clock: Clock) -> AsyncIterator[Outbox]:
    async with an_outbox(tmp_path, clock) as opened:
        yield opened


async def test_what_is_put_comes_out_once_oldest_first(outbox: Outbox) -> None:
    batches = [[reading(5 * n + k, float(n), f"b.p.p{k}") for k in range(5)] for n in range(40)]
    for batch in batches:
        await outbox.put(batch)
    assert outbox.backlog.lines == 200
    assert await drained(outbox, most=30) == [line for batch in batches for line in lines_for(batch)]
    assert outbox.backlog.lines == 0
    assert outbox.backlog.oldest is None
    assert await outbox.oldest() is None


async def test_a_parcel_stays_until_it_is_settled(outbox: Outbox) -> None:
    await outbox.put([reading(0)])
    first = await outbox.oldest()
    await outbox.put([reading(1)])
    again = await outbox.oldest()
    assert first is not None
    assert again is not None
    assert list(again.lines) == lines_for([reading(0), reading(1)])
    await outbox.settle(first)  # what came since stays
    assert await drained(outbox) == lines_for([reading(1)])


async def test_a_number_is_never_used_again(outbox: Outbox) -> None:
    """An emptied table must not give a new batch the number of one that is just being settled."""
    await outbox.put([reading(0)])
    first = await outbox.oldest()
    assert first is not None
    await outbox.settle(first)
    await outbox.put([reading(1)])
    await outbox.settle(first)
    assert await drained(outbox) == lines_for([reading(1)])


async def test_a_parcel_is_about_as_large_as_asked(outbox: Outbox) -> None:
    for n in range(10):
        await outbox.put([reading(minute) for minute in range(100 * n, 100 * n + 100)])
    small, large = await outbox.oldest(250), await outbox.oldest(20)
    assert small is not None
    assert large is not None
    assert (len(small.lines), len(large.lines)) == (200, 100)
    await outbox.put([reading(minute) for minute in range(20_000)])
    await drained(outbox, 1_000)


async def test_a_large_batch_leaves_in_parts(outbox: Outbox) -> None:
    many = [reading(minute) for minute in range(12_345)]
    await outbox.put(many)
    parcel = await outbox.oldest()
    assert parcel is not None
    assert len(parcel.lines) == 5_000
    assert await drained(outbox) == lines_for(many)


async def test_it_outlives_its_process(tmp_path: Path, clock: Clock) -> None:
    async with an_outbox(tmp_path, clock) as outbox:
        await outbox.put([reading(0), reading(1)])
        parcel = await outbox.oldest(1)
        assert parcel is not None
        await outbox.settle(parcel, [Refusal(line=parcel.lines[0], reason="too odd")])
        await outbox.put([reading(2)])
    async with an_outbox(tmp_path, clock) as outbox:
        assert (outbox.backlog.lines, outbox.backlog.refused, outbox.backlog.reason) == (1, 1, "too odd")
        assert outbox.backlog.oldest == START
        await outbox.wait()
        assert await drained(outbox) == lines_for([reading(2)])
        assert await outbox.refused() == [Refusal(line=lines_for([reading(0)])[0], reason="too odd")]


async def test_a_full_disk_says_so_and_loses_nothing(outbox: Outbox) -> None:
    await outbox.put([reading(0)])
    pages = await outbox._database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await outbox._database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(StoreError, match="disk is full: free some space"):
        await outbox.put([reading(minute, minute / 7) for minute in range(5_000)])
    assert outbox.backlog.lines == 1
    await outbox._database.read(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    await outbox.put([reading(1)])
    assert await drained(outbox) == lines_for([reading(0), reading(1)])


async def test_only_so_many_refused_lines_are_kept(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.store.outbox.REFUSED_KEPT", 10)
    for n in range(4):
        await outbox.put([reading(n)])
        parcel = await outbox.oldest()
        assert parcel is not None
        await outbox.settle(parcel, [Refusal(line=f"{n} {k}", reason="bad") for k in range(5)])
    assert [refusal.line for refusal in await outbox.refused()] == [
        f"{n} {k}" for n in (3, 2) for k in range(4, -1, -1)
    ]
    assert outbox.backlog.refused == 20


# --- the budget ----------------------------------------------------------------------------------------------------


async def fill(outbox: Outbox, clock: Clock, *, hours: int, points: int) -> None:
    """One reading of each point a minute, values that do not compress."""
    for minute in range(hours * 60):
        await clock.sleep_until(START + minute * MINUTE)
        await outbox.put(
            [reading(minute, (minute * 7919 + k * 104_729) % 99_991 / 9.7, f"b.p.p{k}") for k in range(points)]
        )


async def test_over_budget_the_oldest_are_thinned_and_the_newest_are_whole(tmp_path: Path, clock: Clock) -> None:
    async with an_outbox(tmp_path, clock, budget_bytes=200_000) as outbox:
        await fill(outbox, clock, hours=8, points=40)
        backlog = outbox.backlog
        assert backlog.bytes <= 200_000
        assert backlog.thinned > 0
        lines = await drained(outbox)
    assert len(lines) + backlog.thinned == 8 * 60 * 40
    kept: dict[str, list[int]] = {}
    for line in lines:
        series, time = key_of(line)
        kept.setdefault(series, []).append((time // 1_000_000 - int(START.timestamp())) // 60)
    assert len(kept) == 40
    for minutes in kept.values():
        assert minutes == sorted(minutes)
        assert {minute // 15 for minute in minutes} == set(range(32)), "of each quarter hour at least one is left"
        assert minutes[:8] == [14, 29, 44, 59, 74, 89, 104, 119], "the last of each quarter hour"
        assert minutes[-60:] == list(range(420, 480))


async def test_once_all_is_thin_the_oldest_goes(tmp_path: Path, clock: Clock) -> None:
    async with an_outbox(tmp_path, clock, budget_bytes=60_000) as outbox:
        await fill(outbox, clock, hours=14, points=40)
        backlog = outbox.backlog
        assert backlog.bytes <= 60_000
        lines = await drained(outbox)
    assert len(lines) + backlog.thinned == 14 * 60 * 40
    times = [key_of(line)[1] // 1_000_000 for line in lines]
    assert times == sorted(times)
    assert times[-1] == int((START + 839 * MINUTE).timestamp())
    assert times[0] > int((START + 15 * MINUTE).timestamp())


async def test_a_disk_that_is_nearly_full_stops_a_large_outbox_but_not_a_small_one(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.store.outbox.SMALL", 100_000)
    monkeypatch.setattr("controller.store.outbox._SPARE_PAGES", 4)
    left = {"bytes": 10**12}
    outbox = Outbox(tmp_path, site="s", clock=clock, budget_bytes=100 * MB, free_bytes=lambda _: left["bytes"])
    async with outbox:
        left["bytes"] = 200 * MB
        await fill(outbox, clock, hours=1, points=40)
        assert outbox.backlog.thinned == 0, "so small it is not to blame"
        left["bytes"] = 10**12
        await fill_on(outbox, clock, since=60, hours=5)
        assert outbox.backlog.thinned == 0
        before = outbox.backlog.bytes
        assert before > 100_000
        left["bytes"] = 200 * MB
        await fill_on(outbox, clock, since=360, hours=5)
        assert outbox.backlog.thinned > 0
        assert outbox.backlog.bytes < before + 40_000, "it does not grow"
        lines = await drained(outbox)
    assert len(lines) + outbox.backlog.thinned == 11 * 60 * 40
    assert {key_of(line)[1] // 60_000_000 for line in lines} >= {
        int((START + minute * MINUTE).timestamp()) // 60 for minute in range(645, 660)
    }


async def test_thinning_spares_what_is_on_its_way(tmp_path: Path, clock: Clock) -> None:
    """A parcel that is settled after it was thinned takes nothing else with it."""
    async with an_outbox(tmp_path, clock, budget_bytes=300_000) as outbox:
        await fill(outbox, clock, hours=2, points=40)
        parcel = await outbox.oldest(600)
        assert parcel is not None
        await fill_on(outbox, clock, since=120, hours=12)
        assert outbox.backlog.thinned
        await outbox.settle(parcel)
        newest = max(key_of(line)[1] for line in parcel.lines)
        left = await drained(outbox)
    assert {key_of(line)[1] // 60_000_000 for line in left} >= {
        int((START + minute * MINUTE).timestamp()) // 60 for minute in range(800, 840)
    }
    assert sum(key_of(line)[1] > newest for line in left) >= len(left) - 40


async def fill_on(outbox: Outbox, clock: Clock, *, since: int, hours: int) -> None:
    for minute in range(since, since + hours * 60):
        await clock.sleep_until(START + minute * MINUTE)
        await outbox.put(
            [reading(minute, (minute * 7919 + k * 104_729) % 99_991 / 9.7, f"b.p.p{k}") for k in range(40)]
        )


async def test_three_days_of_a_large_building_need_little(tmp_path: Path, clock: Clock) -> None:
    """2,000 points a minute in commits of 67, as they come: 72 h are 8.6 M readings, this is a quarter hour."""
    async with an_outbox(tmp_path, clock) as outbox:
        for minute in range(15):
            for part in range(30):  # 2 s apart
                batch = [
                    reading(
                        minute + part / 30, 20 + (k * 31 + minute * part) % 400 / 100, f"townhall.zone_{k % 90}.p{k}"
                    )
                    for k in range(part * 67, part * 67 + 67)
                ]
                await outbox.put(batch)
        per_reading = outbox.backlog.bytes / outbox.backlog.lines
        assert outbox.backlog.lines == 15 * 30 * 67
    assert per_reading < 16, "72 h in 140 MB, a fourteenth of the usual budget"
    assert (tmp_path / OUTBOX_FILE).stat().st_size < MB
