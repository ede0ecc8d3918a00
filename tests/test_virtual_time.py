"""The virtual-time loop: one test for every trap that has bitten such loops."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from site_sims.virtual_time import Deadlock, VirtualTimeLoop


def _last(seconds: float) -> None:
    """A job that takes real time."""
    threading.Event().wait(seconds)


def _jumping() -> asyncio.Runner:
    return asyncio.Runner(loop_factory=VirtualTimeLoop)


async def test_a_day_passes_at_once() -> None:
    loop, real = asyncio.get_running_loop(), time.perf_counter()
    await asyncio.sleep(86_400)
    assert loop.time() == 86_400
    assert time.perf_counter() - real < 1


async def test_timers_fire_in_order_of_their_time_then_of_their_making() -> None:
    seen: list[str] = []

    async def note(name: str, delay: float) -> None:
        await asyncio.sleep(delay)
        seen.append(name)

    async with asyncio.TaskGroup() as tasks:
        for name, delay in (("c", 3), ("a", 1), ("b1", 2), ("b2", 2)):
            tasks.create_task(note(name, delay), name=name)
    assert seen == ["a", "b1", "b2", "c"]


async def test_thirds_of_a_second_never_land_below_their_timer() -> None:
    """Rounding to the nearest microsecond would fall short of 1/3 s and spin for ever."""
    loop = asyncio.get_running_loop()
    for _ in range(1000):
        due = loop.time() + 1 / 3
        await asyncio.sleep(1 / 3)
        assert due - 1e-9 <= loop.time() <= due + 2e-6


async def test_a_timer_of_no_length_at_all_is_not_a_jump() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(1e-9)
    assert loop.time() <= 2e-6


async def test_timers_years_away_keep_their_microsecond() -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(10 * 365 * 86_400)
    begun = loop.time()
    await asyncio.sleep(0.001)
    assert loop.time() - begun == pytest.approx(0.001, abs=2e-6)


async def test_cancelled_timers_are_not_waited_for() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(3600, lambda: None).cancel()
    await asyncio.sleep(1)
    assert loop.time() == 1


async def test_a_timeout_inside_a_longer_wait_comes_at_its_own_time() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.sleep(31)
    assert loop.time() == 30


def test_waiting_for_nothing_is_an_error_not_a_hang() -> None:
    runner = _jumping()
    with pytest.raises(Deadlock):
        runner.run(asyncio.Event().wait())
    runner.get_loop().close()


def test_a_timer_at_infinity_counts_as_nothing_to_wait_for() -> None:
    runner = _jumping()
    with pytest.raises(Deadlock):
        runner.run(asyncio.sleep(float("inf")))
    runner.get_loop().close()


# Jobs in threads


async def test_a_slow_job_takes_no_virtual_time_and_meets_no_timeout() -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(0.010):
        assert await asyncio.to_thread(_last, 0.05) is None
    assert loop.time() == 0


async def test_jobs_are_handed_back_in_the_order_asked_for() -> None:
    """Even with two workers of their own, where the second job ends first."""
    seen: list[int] = []
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(2) as workers:

        async def ask(number: int, lasts_s: float) -> None:
            await loop.run_in_executor(workers, _last, lasts_s)
            seen.append(number)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(ask(1, 0.05), name="slow")
            tasks.create_task(ask(2, 0.0), name="quick")
    assert seen == [1, 2]


async def test_jobs_start_only_when_nothing_else_can_run() -> None:
    seen: list[str] = []

    async def busy() -> None:
        for step in range(5):
            seen.append(f"loop {step}")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(seen.append, "job"), name="job")
        tasks.create_task(busy(), name="busy")
    assert seen == [*(f"loop {step}" for step in range(5)), "job"]


async def test_jobs_of_one_instant_never_overlap() -> None:
    running, worst = 0, 0

    def job() -> None:
        nonlocal running, worst
        running += 1
        worst = max(worst, running)
        _last(0.005)
        running -= 1

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(asyncio.to_thread(job), name=f"job {number}")
    assert worst == 1


async def test_an_error_in_a_job_reaches_who_asked() -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(lambda: 1 // 0)


async def test_a_job_cancelled_before_it_began_never_runs() -> None:
    ran: list[int] = []
    asked = asyncio.get_running_loop().run_in_executor(None, ran.append, 1)
    asked.cancel()
    await asyncio.to_thread(ran.append, 2)
    assert ran == [2]


async def test_cancelling_who_asked_leaves_the_next_job_its_turn() -> None:
    asking = asyncio.ensure_future(asyncio.to_thread(_last, 0.01))
    await asyncio.sleep(0)
    asking.cancel()
    assert await asyncio.to_thread(lambda: 5) == 5
    assert asking.cancelled()


async def test_an_executor_that_is_gone_fails_the_job_not_the_loop() -> None:
    gone = ThreadPoolExecutor(1)
    gone.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        await asyncio.get_running_loop().run_in_executor(gone, lambda: 1)
    await asyncio.sleep(1)


async def test_a_job_thrown_out_of_its_executor_is_cancelled_for_who_asked() -> None:
    loop, both_are_in = asyncio.get_running_loop(), threading.Event()

    class Workers(ThreadPoolExecutor):
        submitted = 0

        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            submitted = super().submit(fn, *args, **kwargs)
            self.submitted += 1
            if self.submitted == 2:
                both_are_in.set()
            return submitted

    with Workers(1) as workers:

        def throw_out() -> None:
            both_are_in.wait(5)
            workers.shutdown(wait=False, cancel_futures=True)

        first = loop.run_in_executor(workers, throw_out)
        second = loop.run_in_executor(workers, lambda: 2)
        await first
        with pytest.raises(asyncio.CancelledError):
            await second


async def test_another_thread_may_wake_the_loop() -> None:
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    await asyncio.to_thread(loop.call_soon_threadsafe, woken.set)
    await woken.wait()
    assert loop.time() == 0


def test_the_runner_ends_the_worker_thread() -> None:
    before = threading.active_count()
    with _jumping() as runner:
        assert runner.run(asyncio.to_thread(lambda: 7)) == 7
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_a_closed_loop_takes_no_jobs() -> None:
    loop = VirtualTimeLoop()
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run_in_executor(None, lambda: 1)


# Sockets, both ends in one loop


async def test_a_conversation_by_tcp_takes_no_virtual_time() -> None:
    loop = asyncio.get_running_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for number in range(100):
            writer.write(b"ping %d\n" % number)
            async with asyncio.timeout(0.001):
                assert await reader.readline() == b"PING %d\n" % number
        assert loop.time() == 0
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(1)  # the other end closes too


async def test_datagrams_arrive_before_time_moves_on() -> None:
    loop = asyncio.get_running_loop()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data[::-1], addr)  # type: ignore[attr-defined]  # a datagram transport

    class Ask(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.answers: asyncio.Queue[bytes] = asyncio.Queue()

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.answers.put_nowait(data)

    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    client, ask = await loop.create_datagram_endpoint(Ask, remote_addr=server.get_extra_info("sockname"))
    for _ in range(50):
        await asyncio.sleep(60)
        sent = loop.time()
        client.sendto(b"abc")
        async with asyncio.timeout(3):
            assert await ask.answers.get() == b"cba"
        assert loop.time() == sent
    client.close()
    server.close()


async def _busy_hour() -> list[str]:
    loop, events = asyncio.get_running_loop(), []
    ours, theirs = socket.socketpair()

    async def talk() -> None:
        for number in range(60):
            await asyncio.sleep(60)
            await loop.sock_sendall(ours, b"%02d" % number)

    async def listen() -> None:
        for _ in range(60):
            heard = await loop.sock_recv(theirs, 2)
            events.append(f"{loop.time()} heard {heard.decode()}")

    async def solve() -> None:
        for number in range(12):
            await asyncio.sleep(300)
            await asyncio.to_thread(_last, 0.001)
            events.append(f"{loop.time()} solved {number}")

    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        async with asyncio.TaskGroup() as tasks:
            for work in (talk, listen, solve):
                tasks.create_task(work(), name=work.__name__)
    return events


def test_all_runs_of_a_busy_hour_are_alike() -> None:
    """Jobs, sockets and timers together give the same order of events each time."""
    runs = []
    for _ in range(3):
        with _jumping() as runner:
            runs.append(runner.run(_busy_hour()))
    assert len(runs[0]) == 72
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.real_time
async def test_the_marker_gives_the_ordinary_loop() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)
