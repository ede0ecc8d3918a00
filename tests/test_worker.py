import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from problems import problem

from optimiser.problem import Status
from optimiser.solve import SolverFailed
from optimiser.worker import InProcess, Worker

PATIENCE_S = 15.0


@pytest.fixture(scope="module")
def shared() -> Iterator[Worker]:
    """One child for all tests: its start costs a second or two."""
    with Worker() as worker:
        yield worker


@pytest.mark.real_time
async def test_a_plan_comes_back_from_the_child(shared: Worker) -> None:
    plan = await shared.solve(problem(), PATIENCE_S)
    here = await InProcess().solve(problem(), PATIENCE_S)
    assert plan.status is Status.OPTIMAL
    assert plan.objective == pytest.approx(here.objective)
    assert plan.series == here.series


@pytest.mark.real_time
async def test_the_loop_goes_on_while_the_child_computes(shared: Worker) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    task: asyncio.Task[None]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(tick(), name="tick")
        await shared.solve(problem(steps=96), PATIENCE_S)
        task.cancel()
    assert ticks > 5


@pytest.mark.real_time
async def test_a_bad_problem_costs_no_child(shared: Worker) -> None:
    await shared.solve(problem(), PATIENCE_S)
    before = shared.pid
    with pytest.raises(SolverFailed, match="outdoor temperature: step 0 is not a finite number"):
        await shared.solve(replace(problem(), outdoor_degc=(float("nan"),) * 8), PATIENCE_S)
    await shared.solve(problem(), PATIENCE_S)
    assert shared.pid == before


@pytest.mark.real_time
@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_dead_child_is_replaced(shared: Worker, death: signal.Signals) -> None:
    await shared.solve(problem(), PATIENCE_S)
    os.kill(shared.pid, death)
    with pytest.raises(SolverFailed, match=death.name):
        await shared.solve(problem(), PATIENCE_S)
    assert (await shared.solve(problem(), PATIENCE_S)).status is Status.OPTIMAL


@pytest.mark.real_time
async def test_a_hanging_child_is_killed_in_time(shared: Worker) -> None:
    await shared.solve(problem(), PATIENCE_S)
    hanging = shared.pid
    os.kill(hanging, signal.SIGSTOP)
    with pytest.raises(SolverFailed, match=r"no answer within 0\.2 s"):
        await shared.solve(problem(), 0.2)
    assert shared.pid != hanging
    with pytest.raises(ProcessLookupError):
        os.kill(hanging, 0)
    assert (await shared.solve(problem(), PATIENCE_S)).status is Status.OPTIMAL


@pytest.mark.real_time
async def test_a_cancelled_question_gets_no_late_answer(shared: Worker) -> None:
    await shared.solve(problem(), PATIENCE_S)
    os.kill(shared.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await shared.solve(problem(), PATIENCE_S)
    plan = await shared.solve(replace(problem(), trigger="next"), PATIENCE_S)
    assert plan.trigger == "next"


def test_the_child_ends_with_its_parent() -> None:
    worker = Worker()
    process = worker._process
    worker._socket.close()
    assert process.wait(PATIENCE_S) == 0
    worker.close()


async def test_in_process_repeats_to_the_bit() -> None:
    cases = [problem(), problem(outdoor_degc=(-4.0,) * 8), problem(import_price=(0.1,) * 4 + (0.4,) * 4)]
    one, other = InProcess(), InProcess()
    assert [await one.solve(case, 1.0) for case in cases] == [await other.solve(case, 1.0) for case in cases]


async def test_in_process_names_what_is_wrong() -> None:
    with pytest.raises(SolverFailed, match="the problem cannot be solved: import price"):
        await InProcess().solve(replace(problem(), import_price=(0.1,)), 1.0)
