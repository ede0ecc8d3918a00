"""Wall time derived from the event loop, so that a simulated day needs no real one."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import time as _machine_time  # noqa: TID251  the one place where the machine is asked


class Clock:
    """Aware UTC wall time = epoch + the running loop's time.

    With the ordinary loop use `Clock.real()`; in virtual time give the epoch that loop time 0 stands for.
    """

    def __init__(self, epoch: datetime) -> None:
        if epoch.tzinfo is None:
            raise ValueError("the epoch must be an aware datetime")
        self.epoch = epoch.astimezone(UTC)
        self._at_s, self._now = 0.0, self.epoch  # the last answer: many ask in one instant of virtual time

    @classmethod
    def real(cls) -> "Clock":
        """The machine's clock, anchored to the running loop; call it inside the loop."""
        now = datetime.fromtimestamp(_machine_time(), UTC)
        return cls(now - timedelta(seconds=asyncio.get_running_loop().time()))

    def now(self) -> datetime:
        at_s = asyncio.get_running_loop().time()
        if at_s != self._at_s:
            self._at_s, self._now = at_s, self.epoch + timedelta(seconds=at_s)
        return self._now

    def drift_s(self) -> float:
        """Machine's wall clock minus this clock, seconds; only meaningful for `Clock.real()`."""
        return _machine_time() - self.now().timestamp()

    def move(self, by: timedelta) -> None:
        """Follow a machine's clock that was set; `by` is negative if it was set back."""
        self.epoch += by
        self._at_s, self._now = 0.0, self.epoch

    async def sleep_until(self, when: datetime) -> None:
        """Return at `when`, at once if it has passed."""
        delay = (when - self.now()).total_seconds()
        await asyncio.sleep(max(0.0, delay))
