"""Live events: one server-sent stream per open page, bounded, ended by a sentinel."""

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from controller.hub import Buffer, Hub
from controller.web.view import Event

log = logging.getLogger(__name__)
CLIENTS = 50
KEEP_ALIVE_S = 20.0  # a comment this often tells a proxy, and us, that the line is alive
PATIENCE_S = 30.0  # a client that takes nothing for so long is let go
_END = Event(kind="end")


class Full(Exception):  # noqa: N818
    """All streams are taken, or the service is stopping."""


class Streams:
    """The open event streams. Each keeps only the newest event of a kind, so a slow client costs nothing.

    `pace` is virtual seconds per real second: the waits are meant for people and proxies, who live in real time.
    """

    def __init__(self, events: Hub[Event], *, pace: float = 1.0) -> None:
        self._events = events
        self._open: list[Buffer[Event]] = []
        self._closing = False
        self.keep_alive_s, self.patience_s = KEEP_ALIVE_S * pace, PATIENCE_S * pace

    def __len__(self) -> int:
        return len(self._open)

    def close(self) -> None:
        """End every stream after what it has been told; new ones are refused."""
        self._closing = True
        for buffer in self._open:
            buffer.put([_END])

    @contextmanager
    def subscribe(self) -> Iterator[Buffer[Event]]:
        """One client's events; raises Full."""
        if self._closing or len(self._open) >= CLIENTS:
            raise Full
        with self._events.subscribe(latest=lambda event: event.kind) as buffer:
            self._open.append(buffer)
            try:
                yield buffer
            finally:
                self._open = [other for other in self._open if other is not buffer]


class EventStream(Response):
    """The answer to `GET events`. All that waits at a wake-up leaves in one chunk."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  the ASGI signature
        try:
            with self._streams.subscribe() as buffer:
                headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                async with asyncio.TaskGroup() as tasks:
                    watch = tasks.create_task(_watch(receive, buffer), name="events:watch")
                    await self._pump(buffer, send)
                    watch.cancel()
        except Full:
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"30")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b"No more event streams; try again in 30 s.\n"})

    async def _pump(self, buffer: Buffer[Event], send: Send) -> None:
        chunk, last = b"retry: 3000\n\n", False
        while not last:
            try:
                async with asyncio.timeout(self._streams.patience_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                log.warning("a page took no events for %.0f s and was let go", self._streams.patience_s)
                return
            events = await self._next(buffer)
            last = _END in events
            chunk = b"".join(_encoded(event) for event in events if event is not _END)
            chunk = chunk if chunk or last else b": still here\n\n"
        await send({"type": "http.response.body", "body": chunk, "more_body": False})

    async def _next(self, buffer: Buffer[Event]) -> list[Event]:
        try:
            async with asyncio.timeout(self._streams.keep_alive_s):
                return await buffer.batch()
        except TimeoutError:
            return []


async def _watch(receive: Receive, buffer: Buffer[Event]) -> None:
    """End the stream when the client leaves."""
    while (await receive())["type"] != "http.disconnect":
        pass
    buffer.put([_END])


def _encoded(event: Event) -> bytes:
    return f"event: {event.kind}\ndata: {json.dumps(dict(event.payload), separators=(',', ':'))}\n\n".encode()
