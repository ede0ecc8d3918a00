"""Event streams: bounded, one chunk a wake-up, ended by a sentinel; and the server that carries them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fake_backend import FakeBackend

from controller.hub import Hub
from controller.web import events
from controller.web.app import make_app
from controller.web.events import EventStream, Streams
from controller.web.pages import Renderer
from controller.web.serve import NotLoopback, Pages, check_host
from controller.web.view import Event
from drivers.clock import Clock

SCOPE: dict[str, Any] = {"type": "http"}
NOON = datetime(2023, 2, 6, 13, 12, tzinfo=UTC)


class Client:
    """One end of an ASGI connection: keeps what it is sent, may leave, may stop reading."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.status = 0
        self.last = False
        self.reading = asyncio.Event()
        self.reading.set()
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.chunks.append(message.get("body", b""))
            self.last = not message.get("more_body", False)


@asynccontextmanager
async def connected(streams: Streams) -> AsyncIterator[Client]:
    client = Client()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(EventStream(streams)(SCOPE, client.receive, client.send), name="stream")
        await asyncio.sleep(1)
        yield client
        client.left.set()


async def test_what_waits_leaves_in_one_chunk_the_newest_of_each_kind() -> None:
    hub: Hub[Event] = Hub()
    async with connected(Streams(hub)) as client:
        hub.publish(*(Event(kind="readings", payload={"n": n}) for n in range(100)), Event(kind="plan"))
        await asyncio.sleep(1)
    assert client.chunks[0] == b"retry: 3000\n\n"
    assert client.chunks[1] == b'event: readings\ndata: {"n":99}\n\nevent: plan\ndata: {}\n\n'


async def test_a_quiet_stream_says_that_it_is_alive() -> None:
    async with connected(Streams(Hub())) as client:
        await asyncio.sleep(2 * events.KEEP_ALIVE_S)
        assert client.chunks[1:] == [b": still here\n\n"] * 2


async def test_closing_ends_each_stream_after_its_last_event_and_refuses_new_ones() -> None:
    hub: Hub[Event] = Hub()
    streams = Streams(hub)
    async with connected(streams) as client:
        hub.publish(Event(kind="control"))
        streams.close()
        await asyncio.sleep(1)
        assert client.last
        assert client.chunks[-1] == b"event: control\ndata: {}\n\n"
        assert len(streams) == 0
    async with connected(streams) as late:
        assert late.status == 503


async def test_a_client_that_leaves_frees_its_place_at_once() -> None:
    streams = Streams(Hub())
    async with connected(streams) as client:
        assert len(streams) == 1
        client.left.set()
        await asyncio.sleep(0.001)
        assert len(streams) == 0


async def test_a_client_that_reads_nothing_is_let_go_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hub: Hub[Event] = Hub()
    streams = Streams(hub)
    async with connected(streams) as stuck, connected(streams) as other:
        stuck.reading.clear()
        for _ in range(3):
            hub.publish(Event(kind="readings"))
            await asyncio.sleep(1)
        assert len(other.chunks) == 4
        assert len(stuck.chunks) == 1
        await asyncio.sleep(events.PATIENCE_S)
        assert len(streams) == 1
    assert "let go" in caplog.text


async def test_the_number_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CLIENTS", 2)
    streams = Streams(Hub())
    async with connected(streams), connected(streams), connected(streams) as third:
        assert third.status == 503
        assert b"try again" in third.chunks[0]


async def test_waits_are_meant_in_real_time() -> None:
    streams = Streams(Hub(), pace=60)
    assert streams.keep_alive_s == 60 * events.KEEP_ALIVE_S


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_is_served(host: str) -> None:
    assert check_host(host) in {host, "127.0.0.1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "", "example.org", "127.0.0.1.evil", "8.8.8.8"])
def test_any_other_address_is_refused_with_the_cure(host: str) -> None:
    with pytest.raises(NotLoopback, match=r"write 127\.0\.0\.1"):
        check_host(host)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def pages_of(renderer: Renderer, *, port: int = 0) -> tuple[Pages, FakeBackend]:
    loop = asyncio.get_running_loop()
    clock = Clock(NOON - timedelta(seconds=loop.time()))
    backend = FakeBackend(clock)
    return Pages(make_app(backend, clock=clock, renderer=renderer), port=port), backend


@pytest.mark.real_time
async def test_the_server_answers_streams_and_stops_with_a_stream_open(renderer: Renderer) -> None:
    pages, backend = pages_of(renderer)
    taken = pages.bind()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        tasks.create_task(pages.run_until_stopped(taken), name="pages")
        async with httpx.AsyncClient(base_url=pages.address, trust_env=False) as client:
            assert (await client.get("/healthz")).text == "ok\n"
            async with client.stream("GET", "/api/v1/events") as stream:
                lines = stream.aiter_lines()
                assert await anext(lines) == "retry: 3000"
                await backend.stop("test")
                assert [line async for line in _until(lines, "data:")] == ["", "event: control", 'data: {"level":"4"}']
                pages.stop()
                assert [line async for line in lines] == [""]
    assert taken.fileno() == -1


async def _until(lines: AsyncIterator[str], start: str) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith(start):
            return


@pytest.mark.real_time
async def test_cancelling_the_server_ends_its_streams_and_frees_the_port(renderer: Renderer) -> None:
    pages, _ = pages_of(renderer)
    taken = pages.bind()
    port = taken.getsockname()[1]
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(pages.run_until_stopped(taken), name="pages")
        client = httpx.AsyncClient(base_url=pages.address, trust_env=False)
        async with client, client.stream("GET", "/api/v1/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 3000"
            serving.cancel()
            assert [line async for line in lines] == [""]
    again, _ = pages_of(renderer, port=port)
    again.bind().close()


async def test_the_server_runs_in_the_loop_whose_time_jumps(renderer: Renderer) -> None:
    pages, backend = pages_of(renderer)
    taken = pages.bind()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pages.run_until_stopped(taken), name="pages")
        async with httpx.AsyncClient(base_url=pages.address, trust_env=False, timeout=None) as client:  # noqa: S113  loop time jumps
            assert "Optimising" in (await client.get("/")).text
            assert (await client.post("/stop", data={"reason": "test"})).status_code == 303
        pages.stop()
    assert backend.calls == [("stop", "test")]


async def test_a_taken_port_says_what_to_do(renderer: Renderer) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        pages, _ = pages_of(renderer, port=other.getsockname()[1])
        with pytest.raises(OSError, match=r"set another web\.port"):
            pages.bind()
