"""Long computations outside the event loop: in a child process that can be killed, or here for virtual time."""

import asyncio
import os
import pickle  # both ends are ours, over pipes nobody else holds
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")

HOME = str(Path(__file__).parents[1])  # the child finds this package also when it is not installed
CODE = "from controller.apart import answer; answer()"
WITHIN = timedelta(minutes=5)
NICE = 10  # a plan that is due meanwhile goes first


class WorkFailed(Exception):  # noqa: N818  a state the caller must act on
    """The child died, or gave no answer in time."""


class Place(Protocol):
    """Where work is done; it is a pure function with its arguments that can be pickled, and so is its result."""

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return the result; raises what the work raises, or WorkFailed."""
        ...


async def here(work: Callable[[], T]) -> T:
    """Do it at once in the caller's thread: the event loop's time stands still, so a simulation repeats."""
    return work()


async def apart(work: Callable[[], T], *, within: timedelta = WITHIN) -> T:
    """Do it in a process of its own, which is killed when it takes too long or the caller is cancelled.

    Raises WorkFailed where there is no result; the reason is on standard error.
    """
    body = pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
    paths = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            CODE,
            stdin=PIPE,
            stdout=PIPE,
            env=environment,
            start_new_session=True,  # our terminal's Ctrl-C is not for the child
        )
    except OSError as error:  # no memory, no room for another process
        raise WorkFailed(f"no process for it: {error}") from error
    try:
        async with asyncio.timeout(within.total_seconds()):
            result, _ = await process.communicate(body)
    except TimeoutError:
        raise WorkFailed(f"no answer within {within.total_seconds():g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise WorkFailed(f"the process that computed it ended with {process.returncode}")
    found: T = pickle.loads(result)  # noqa: S301  our own child
    return found


def answer() -> None:
    """Do the work on standard input and write its result to standard output; runs in the child."""
    os.nice(NICE)
    work = pickle.load(sys.stdin.buffer)  # noqa: S301  from our own parent
    out, sys.stdout = sys.stdout, sys.stderr  # what the work prints is no result
    pickle.dump(work(), out.buffer, protocol=pickle.HIGHEST_PROTOCOL)
    out.flush()
