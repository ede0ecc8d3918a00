"""Where solving happens: a child process that can be killed, or the same sessions in this process.

The child owns the compiled models and their bases, so it lives as long as we do. It is started before the event loop,
answers Problems over a socket pair, and ends by itself when its parent is gone. When it takes too long, dies or
is cancelled it is killed and a new one started; the new one compiles again when it is first asked.
"""

import asyncio
import os
import pickle  # both ends are ours, over a socket pair nobody else holds
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from optimiser.problem import Plan, Problem, SolverFailed

if TYPE_CHECKING:
    from optimiser.solve import Sessions

HEADER = struct.Struct("!Q")
HOME = str(Path(__file__).parents[1])  # the child finds this package also when it is not installed
BEGIN = "from optimiser.worker import serve; serve(int({fd}), {time_s})"


class InProcess:
    """Solves in the caller's thread, by iteration limits alone: equal Problems in equal order give equal Plans.

    For simulation and tests, where the event loop's time stands still while it computes.
    """

    def __init__(self) -> None:
        self._sessions: Sessions | None = None

    async def solve(self, problem: Problem, time_out_s: float) -> Plan:  # noqa: ARG002  virtual time stands still
        """Return the plan; raises SolverFailed where there is none."""
        if self._sessions is None:
            from optimiser.solve import Sessions  # the solver's libraries take seconds to import

            self._sessions = Sessions()
        return _answered(self._sessions, problem)


class Worker:
    """A child process that solves one Problem at a time; usable from one event loop.

    `with Worker(time_s=...)` or `close()` ends it. `time_s` limits the solver inside the child.
    """

    def __init__(self, *, time_s: float | None = 10.0) -> None:
        self._time_s = time_s
        self._turn = asyncio.Lock()
        self.restarts = 0
        self._socket, self._process = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the present child."""
        return self._process.pid

    def close(self) -> None:
        """End the child; it holds nothing that could be lost."""
        self._socket.close()
        self._process.kill()
        self._process.wait()

    async def solve(self, problem: Problem, time_out_s: float) -> Plan:
        """Return the plan; raises SolverFailed where there is none in time, or the child died.

        A cancelled or failed call costs the child its life, so that no answer can meet the wrong question.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(time_out_s):
                    answer = await self._ask(problem)
            except TimeoutError:
                self._restart()
                raise SolverFailed(f"no answer within {time_out_s:g} s") from None
            except (OSError, EOFError):
                status = self._restart()
                raise SolverFailed(f"the solver's process died ({_death(status)})") from None
            except asyncio.CancelledError:
                self._restart()
                raise
        if isinstance(answer, Plan):
            return answer
        raise SolverFailed(str(answer))

    async def _ask(self, problem: Problem) -> object:
        loop = asyncio.get_running_loop()
        body = pickle.dumps(problem, protocol=pickle.HIGHEST_PROTOCOL)
        await loop.sock_sendall(self._socket, HEADER.pack(len(body)) + body)
        (size,) = HEADER.unpack(await self._receive(HEADER.size))
        return pickle.loads(await self._receive(size))  # noqa: S301  our own child

    async def _receive(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        parts = bytearray()
        while len(parts) < size:
            part = await loop.sock_recv(self._socket, min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def _restart(self) -> int:
        """Replace the child; return how the old one ended: by itself, or now by us."""
        old = self._process
        self.close()
        self.restarts += 1
        self._socket, self._process = self._start()
        return old.returncode

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        code = BEGIN.format(fd=theirs.fileno(), time_s=self._time_s)
        paths = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603  our own interpreter and code
            [sys.executable, "-c", code],
            pass_fds=(theirs.fileno(),),
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # our terminal's Ctrl-C is not for the child
        )
        theirs.close()
        return ours, process


def serve(fd: int, time_s: float | None) -> None:
    """Answer Problems on this socket until its other end is closed; runs in the child."""
    from optimiser.solve import Limits, Sessions  # only the child needs the solver's libraries

    sessions = Sessions(limits=Limits(time_s=time_s))
    with suppress(BrokenPipeError), socket.socket(fileno=fd) as line, line.makefile("rwb") as file:  # parent killed
        while len(header := file.read(HEADER.size)) == HEADER.size:
            (size,) = HEADER.unpack(header)
            problem = pickle.loads(file.read(size))  # noqa: S301  from our own parent
            try:
                answer: Plan | str = _answered(sessions, problem)
            except SolverFailed as error:
                answer = str(error)
            body = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
            file.write(HEADER.pack(len(body)) + body)
            file.flush()


def _answered(sessions: "Sessions", problem: Problem) -> Plan:
    try:
        return sessions.solve(problem)
    except ValueError as error:
        raise SolverFailed(f"the problem cannot be solved: {error}") from error


def _death(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return f"exit code {status}"
