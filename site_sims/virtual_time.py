"""An event loop whose clock jumps to the next timer, or keeps a steady multiple of real time.

The only file that touches private attributes of the standard library's loop; `tests/test_virtual_time.py` pins them.
"""

import asyncio
import math
import selectors
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

SECOND_US = 1_000_000


class Deadlock(RuntimeError):  # noqa: N818  a state, not an error class of ours
    """Every task waits for something that can never come."""


class _Job(NamedTuple):
    executor: Executor
    call: Callable[[], Any]
    result: "asyncio.Future[Any]"


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time stands still while anything can run.

    Then it jumps to the next timer (`pace` None) or follows real time at `pace` seconds a second. Time is kept in
    whole microseconds. Jobs given to `run_in_executor` start when nothing else can run and are handed back in the
    order asked for, so a run repeats to the bit; a job must not wait for the loop, which stands still meanwhile.
    Raises `Deadlock` when jumping with no timer left. Lag of more than `max_lag_s` real seconds is given up, not
    caught up with.
    """

    def __init__(self, pace: float | None = None, max_lag_s: float = 5.0) -> None:
        super().__init__(selectors.DefaultSelector())
        self._clock_resolution = 1e-6
        self._now_us = 0
        self._pace = pace
        self._max_lag_s = max_lag_s
        self._anchor: tuple[float, int] | None = None  # (real seconds, loop microseconds)
        self._asked: deque[_Job] = deque()
        self._running: deque[tuple[Future[Any], asyncio.Future[Any]]] = deque()
        selector: Any = self._selector  # type: ignore[attr-defined]  # private in typeshed
        self._poll: Callable[[float | None], list[Any]] = selector.select
        selector.select = self._wait
        self.set_default_executor(ThreadPoolExecutor(1))  # one worker: jobs run in the order they were asked for

    @property
    def pace(self) -> float | None:
        """Virtual seconds per real second; None = as fast as possible."""
        return self._pace

    def set_pace(self, pace: float | None) -> None:
        """Change the pace from now on; None = as fast as possible. Call it inside the loop."""
        if pace is not None and pace <= 0:
            raise ValueError(f"pace {pace} must be above 0")
        self._pace = pace
        self._anchor = None

    def time(self) -> float:
        return self._now_us / SECOND_US

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        self._check_closed()  # type: ignore[attr-defined]  # private in typeshed
        result: asyncio.Future[T] = self.create_future()
        worker: Executor = executor or self._default_executor  # type: ignore[attr-defined]  # private in typeshed
        self._asked.append(_Job(worker, lambda: func(*args), result))
        return result

    def _wait(self, timeout: float | None) -> list[Any]:
        ready = self._poll(0)
        if ready or timeout == 0:
            return ready
        if self._asked or self._running:
            return self._work()
        if self._executor_shutdown_called:  # type: ignore[attr-defined]  # the worker's own farewell comes by socket
            return self._poll(None)
        due = math.inf if timeout is None else self._scheduled[0].when()  # type: ignore[attr-defined]  # private
        if due == math.inf:
            if self._pace is None:
                raise Deadlock("every task waits and no timer is set")
            self._anchor = None  # the next timer counts from then, not from when we fell silent
            return self._poll(None)
        target = max(self._now_us, math.ceil(due * SECOND_US - 1e-3))  # never below a timer, or we would spin
        if self._pace is not None and (ready := self._keep_pace(target, self._pace)):
            return ready
        self._now_us = target
        return []

    def _work(self) -> list[Any]:
        self._begin_jobs()
        if self._pace is None:
            for future, _ in self._running:
                with suppress(CancelledError):
                    future.exception()  # waits; `concurrent.futures.wait` never sees one that was thrown out
        elif self._running and not self._running[0][0].done():
            return self._poll(None)  # sockets are served meanwhile, time stands still
        while self._running and self._running[0][0].done():
            self._hand_back(*self._running.popleft())
        return []

    def _begin_jobs(self) -> None:
        while self._asked:
            job = self._asked.popleft()
            if job.result.cancelled():
                continue
            try:
                future = job.executor.submit(job.call)
            except RuntimeError as shut_down:  # an executor that is gone must not take the loop with it
                job.result.set_exception(shut_down)
                continue
            future.add_done_callback(lambda _: self._write_to_self())  # type: ignore[attr-defined]  # private
            self._running.append((future, job.result))

    @staticmethod
    def _hand_back(future: Future[Any], result: asyncio.Future[Any]) -> None:
        if result.cancelled():
            return
        if future.cancelled():
            result.cancel()
        elif (error := future.exception()) is None:
            result.set_result(future.result())
        else:
            result.set_exception(error)

    def _keep_pace(self, target_us: int, pace: float) -> list[Any]:
        real_s = time.monotonic()  # noqa: TID251  this loop is where real time enters
        begun_s, since_us = self._anchor = self._anchor or (real_s, self._now_us)
        left_s = begun_s + (target_us - since_us) / SECOND_US / pace - real_s
        if left_s < -self._max_lag_s:  # a suspended laptop: give the lag up
            self._anchor = real_s, target_us
        if left_s < 0:
            return []
        ready = self._poll(left_s)
        if ready:
            gone_us = int((time.monotonic() - begun_s) * pace * SECOND_US)  # noqa: TID251
            self._now_us = max(self._now_us, min(target_us, since_us + gone_us))
        return ready
