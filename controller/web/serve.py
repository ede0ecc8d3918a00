"""The web server inside the program's own loop, on loopback only."""

import asyncio
import ipaddress
import socket
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress

import uvicorn

from controller.web.app import WebApp


class NotLoopback(ValueError):  # noqa: N818
    """The pages have no login yet, so they must not be reachable from other machines."""


def check_host(host: str) -> str:
    """The numeric loopback address to bind; raises NotLoopback."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise NotLoopback(
        f"the pages have no login and answer to this machine only: web.host is {host!r}, write 127.0.0.1; "
        "from elsewhere use a tunnel, such as ssh -L 8080:127.0.0.1:8080"
    )


class Pages(uvicorn.Server):
    """Serves until cancelled or told to stop; signals stay with the service.

    `pace` is loop seconds per real second: browsers keep their connections in real time.
    """

    def __init__(self, app: WebApp, *, host: str = "127.0.0.1", port: int = 8080, pace: float = 1.0) -> None:
        self._app, self._pace = app, pace
        self._host, self._port = check_host(host), port
        super().__init__(
            uvicorn.Config(
                app, loop="none", lifespan="off", log_config=None, access_log=False, server_header=False,
                timeout_keep_alive=round(75 * pace), timeout_graceful_shutdown=round(3 * pace), limit_concurrency=200,
            )
        )  # fmt: skip
        self.address = ""  # http://host:port once `bind` has run
        self._stopping = asyncio.Event()

    def bind(self) -> socket.socket:
        """Take the port; raises OSError that says what to do if it is taken. Port 0 takes any free one."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((self._host, self._port))
        except OSError as err:
            taken.close()
            raise OSError(
                err.errno, f"cannot listen on {self._host}:{self._port} ({err.strerror}); set another web.port"
            ) from None
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self.address = f"http://{shown}:{taken.getsockname()[1]}"
        return taken

    async def run_until_stopped(self, taken: socket.socket) -> None:
        """Serve on a socket from `bind`. Cancelling ends the event streams and closes what is open."""
        with closing(taken):
            try:
                await self.serve(sockets=[taken])
            except asyncio.CancelledError:
                self._app.streams.close()
                if self.started:
                    await self.shutdown(sockets=[taken])
                raise

    def stop(self) -> None:
        """End every event stream and then the server; its task finishes by itself."""
        self._app.streams.close()
        self.should_exit = True
        self._stopping.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        tick = 0
        while not await self.on_tick(tick):
            tick += 10  # on_tick renews the Date header at every tenth
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace):
                    await self._stopping.wait()
