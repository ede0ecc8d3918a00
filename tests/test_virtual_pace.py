"""The virtual-time loop at a pace: bound to the clock of the machine, and catching up with it."""

import asyncio
import socket
import threading
import time

import pytest

from site_sims.virtual_time import VirtualTimeLoop


def _last(seconds: float) -> None:
    """A job that takes real time."""
    threading.Event().wait(seconds)


def _paced(pace: float, *, max_lag_s: float = 5.0) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(pace, max_lag_s))


# Pace


def test_the_pace_is_kept_over_many_short_timers() -> None:
    """Without an anchor the millisecond rounding of each wait adds up."""

    async def minute() -> float:
        loop, real = asyncio.get_running_loop(), time.perf_counter()
        for _ in range(1000):
            await asyncio.sleep(0.02)
        assert loop.time() == pytest.approx(20, abs=1e-2)
        return time.perf_counter() - real

    with _paced(100) as runner:
        took_s = runner.run(minute())
    assert 0.199 <= took_s < 0.8  # 20 s at 100 times; a millisecond more for each timer would make 1.2 s


def test_time_follows_the_machine_between_timers() -> None:
    """What a socket brings while we wait is dated by the pace, not by the last timer."""

    async def run() -> tuple[float, float]:
        loop, real = asyncio.get_running_loop(), time.perf_counter()
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        sender = threading.Timer(0.1, ours.send, (b"x",))
        sender.start()
        async with asyncio.timeout(1000):
            await loop.sock_recv(theirs, 1)
        sender.join()
        ours.close()
        theirs.close()
        return loop.time(), time.perf_counter() - real

    with _paced(100) as runner:
        virtual_s, real_s = runner.run(run())
    assert 5 <= virtual_s <= real_s * 100  # neither 0, the last timer, nor 1000, the next


def test_a_paced_loop_waits_for_the_world_without_a_timer() -> None:
    async def run() -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        sender = threading.Timer(0.02, ours.send, (b"x",))
        sender.start()
        heard = await asyncio.get_running_loop().sock_recv(theirs, 1)
        sender.join()
        ours.close()
        theirs.close()
        return heard

    with _paced(60) as runner:
        assert runner.run(run()) == b"x"


def test_a_short_lag_is_caught_up_with_timer_by_timer() -> None:
    async def run() -> float:
        real, begun, fired = time.perf_counter(), asyncio.get_running_loop().time(), []
        _last(0.3)  # the machine was busy for 3 virtual seconds
        for _ in range(20):
            await asyncio.sleep(0.1)
            fired.append(asyncio.get_running_loop().time() - begun)
        assert fired == pytest.approx([0.1 * n for n in range(1, 21)], abs=1e-4)
        return time.perf_counter() - real

    with _paced(10) as runner:
        runner.run(asyncio.sleep(0.001))  # the anchor is set before the lag begins
        assert 0.299 <= runner.run(run()) < 0.49  # 0.5 and more if each timer waited in full


def test_a_long_lag_is_given_up() -> None:
    """A laptop that slept must not race through the lost hours."""

    async def run() -> float:
        _last(0.12)
        await asyncio.sleep(0.1)  # due long ago: fires at once, and the lag is forgotten
        real = time.perf_counter()
        await asyncio.sleep(0.5)
        return time.perf_counter() - real

    with _paced(10, max_lag_s=0.05) as runner:
        runner.run(asyncio.sleep(0.001))
        assert runner.run(run()) >= 0.045


def test_the_pace_can_be_changed_while_running() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        await asyncio.sleep(3600)
        loop.set_pace(100)
        assert loop.pace == 100
        real = time.perf_counter()
        await asyncio.sleep(10)
        took_s = time.perf_counter() - real
        loop.set_pace(None)
        await asyncio.sleep(3600)
        assert loop.time() == pytest.approx(7210)
        return took_s

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert 0.099 <= runner.run(run()) < 0.5


async def test_a_pace_of_nothing_is_refused() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    with pytest.raises(ValueError, match="above 0"):
        loop.set_pace(0)


def test_a_paced_loop_serves_sockets_beside_a_job_while_time_stands_still() -> None:
    ours, theirs = socket.socketpair()

    def job() -> bytes:
        """Ends only if the loop answers meanwhile."""
        answers = b""
        for _ in range(20):
            theirs.sendall(b"x")
            answers += theirs.recv(1)
        return answers

    async def run() -> float:
        loop = asyncio.get_running_loop()
        ours.setblocking(False)
        theirs.settimeout(5)

        async def serve() -> None:
            for _ in range(20):
                await loop.sock_sendall(ours, (await loop.sock_recv(ours, 1)).upper())

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(), name="serve")
            assert await asyncio.to_thread(job) == b"X" * 20
        return loop.time()

    with ours, theirs, _paced(1_000_000) as runner:
        assert runner.run(run()) == 0
