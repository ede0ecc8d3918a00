"""An MQTT broker inside the process, for the demo, the simulation and the tests; production uses Mosquitto.

`amqtt` shares our event loop, so it runs in virtual time. Its once-a-second search for expired sessions is slowed to
once an hour: in a simulated fortnight that alone would be 1.2 million wake-ups.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as paho
from amqtt.broker import Broker as Amqtt

HOST, PORT = "127.0.0.1", 47883
SWEEP_S = 3600.0
GOODBYE_S = 1.0  # for connections to end by themselves


class _Server(Amqtt):  # type: ignore[misc]  # amqtt is not typed for us
    """Keeps book of its connections, which amqtt leaves to themselves at the end."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self._open: dict[asyncio.StreamWriter, None] = {}  # an ordered set

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        self._open[writer] = None
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            writer.close()
            del self._open[writer]

    async def shutdown(self) -> None:
        giving_up = asyncio.get_running_loop().call_later(GOODBYE_S, self._abort)
        try:
            await super().shutdown()
            while self._open:
                await asyncio.sleep(GOODBYE_S / 100)
        finally:
            giving_up.cancel()
        await asyncio.sleep(0)  # a closed transport lets go of its socket in the next turn

    def _abort(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _session_monitor(self) -> None:
        """Sessions here are few and end with the process; connecting anew replaces an old one anyway."""
        while True:
            await asyncio.sleep(SWEEP_S)


class Broker:
    """A broker on loopback without credentials, which can be stopped and started again as often as wished.

    Use as `async with`. A stopped broker has dropped its clients and forgotten what it retained.
    """

    def __init__(self, host: str = HOST, port: int = PORT) -> None:
        self.host, self.port = host, port
        self._server: Any = None

    @property
    def is_running(self) -> bool:
        return self._server is not None

    @property
    def clients(self) -> list[str]:
        """Who is connected, by name."""
        sessions = {} if self._server is None else self._server.sessions
        return [name for name, (session, _) in sessions.items() if session.transitions.is_connected()]

    async def start(self) -> None:
        """Serve; raises OSError if the port is taken. Nothing happens if it runs already."""
        if self._server is not None:
            return
        for name in ("amqtt", "transitions"):  # they report every client that comes and goes
            quiet = logging.getLogger(name)
            if quiet.level == logging.NOTSET:
                quiet.setLevel(logging.ERROR)
        with socket.socket() as probe:  # amqtt would only log a taken port, and raise an error of its own
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.host, self.port))
            probe.listen()
        server = _Server(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"{self.host}:{self.port}"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Drop every client and close the port. Nothing happens if it is stopped already."""
        server, self._server = self._server, None
        if server is not None:
            await server.shutdown()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


@contextmanager
def keepalive_in_loop_time(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let every MQTT client of this process count its keep-alive by the loop's time.

    Without this paho counts by the machine's clock: in virtual time it hardly ever asks whether the broker is still
    there, which saves work, and which `Broker` never minds. Needed only to see a silent broker noticed in virtual time.
    """
    before = paho.time_func
    paho.time_func = loop.time
    try:
        yield
    finally:
        paho.time_func = before
