"""The same day twice gives the same readings, commands and plans, to the last bit."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from site_sims.virtual_time import VirtualTimeLoop
from tests.system.house import Sum, house

TUESDAY = datetime(2023, 2, 7, tzinfo=UTC)


def lived(*, wire: bool, seed: int, hours: int) -> tuple[str, dict[str, int], dict[str, int]]:
    """Fingerprint of so many hours, how much was counted, and writes by slot."""

    async def live() -> tuple[str, dict[str, int], dict[str, int]]:
        with tempfile.TemporaryDirectory() as folder:
            async with house(Path(folder), TUESDAY, wire=wire, seed=seed) as home:
                with Sum(home.service) as total:
                    for hour in range(1, hours + 1):
                        await home.clock.sleep_until(TUESDAY + timedelta(hours=hour))
                        total.add()
                    found = total.digest(), total.counts
            assert home.occupied_slots() == []
        writes = [str((write.time, write.key, write.value, write.slot)) for write in home.notary.writes]
        return *found, {text: writes.count(text) for text in writes}

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(live())


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_day_on_real_packets_is_the_same_twice() -> None:
    first, counts, writes = lived(wire=True, seed=1, hours=24)
    again, _, writes_again = lived(wire=True, seed=1, hours=24)
    assert first == again
    assert writes == writes_again
    assert counts["readings"] > 24 * 60 * 70
    assert counts["plans"] >= 96
    assert counts["commands"] > 200


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_day_with_simulated_drivers_is_the_same_twice_and_another_with_another_seed() -> None:
    first, counts, writes = lived(wire=False, seed=1, hours=24)
    again, _, writes_again = lived(wire=False, seed=1, hours=24)
    other, _, _ = lived(wire=False, seed=2, hours=2)
    assert first == again
    assert writes == writes_again
    assert other != lived(wire=False, seed=1, hours=2)[0]
    assert counts["plans"] >= 96
