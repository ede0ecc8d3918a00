"""The machine under the service: disk space, the clock, the guard; looked at regularly, told to the ladder."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from controller.events import Cause, Trigger
from controller.hub import Hub
from controller.ladder import Ladder, Trouble
from controller.web.view import Check
from drivers.clock import Clock

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
LEAST_BYTES = 100_000_000
DRIFT_S = 5.0  # beyond this the clock is set anew and a plan is made
UNTRUSTED_S = 600.0  # beyond this nothing is written until somebody has looked


class Vitals:
    """Watches disk and clock; `real` False in a simulation, whose clock is its own."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        ladder: Ladder,
        triggers: Hub[Trigger],
        *,
        real: bool,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._directory, self._clock, self._ladder, self._triggers = directory, clock, ladder, triggers
        self._real, self._free_bytes = real, free_bytes
        self._drift_s = 0.0  # when last looked at
        self.free_bytes: int | None = None  # None = not looked at yet

    async def run(self) -> None:
        """Look every half minute, until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(EVERY.total_seconds())

    def look(self) -> None:
        """Look at disk and clock now, and tell the ladder."""
        self._look_at_disk()
        if self._real:
            self._look_at_clock()

    def _look_at_disk(self) -> None:
        try:
            self.free_bytes = self._free_bytes(self._directory)
        except OSError as error:
            self._ladder.report(Trouble.DISK, present=True, text=f"the disk cannot be looked at: {error}")
            return
        low = self.free_bytes < LEAST_BYTES
        text = f"only {self.free_bytes / 1e6:.0f} MB left on the disk of {self._directory}" if low else ""
        self._ladder.report(Trouble.DISK, present=low, text=text)

    def _look_at_clock(self) -> None:
        """Follow the machine's clock where it was set by a little; distrust it where it was set by much."""
        drift_s = self._clock.drift_s()
        step_s, self._drift_s = drift_s - self._drift_s, drift_s
        jumped = abs(drift_s) > UNTRUSTED_S
        text = f"the machine's clock jumped by {drift_s / 60:.0f} minutes" if jumped else ""
        self._ladder.report(Trouble.CLOCK, present=jumped, text=text)
        if abs(step_s) > DRIFT_S:
            log.warning("the machine's clock was set by %.0f s", step_s)
        if not jumped and abs(drift_s) > DRIFT_S:
            self._clock.epoch += timedelta(seconds=drift_s)
            self._drift_s = 0.0
            told = f"the clock was set by {drift_s:.0f} s"
            self._triggers.publish(Trigger(cause=Cause.SCHEDULE, text=told, time=self._clock.now()))

    def checks(self) -> tuple[Check, ...]:
        """What was seen last, for the health page."""
        free = self.free_bytes
        disk = Check(
            name="Disk",
            ok=free is None or free >= LEAST_BYTES,
            text="not looked at yet" if free is None else f"{free / 1e9:.1f} GB free",
        )
        if not self._real:
            return (disk,)
        away = abs(self._drift_s)
        clock = Check(name="Clock", ok=away <= UNTRUSTED_S, text=f"within {max(1.0, away):.0f} s of the machine's")
        return disk, clock
