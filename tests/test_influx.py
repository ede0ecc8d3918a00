"""One `Store` on InfluxDB 1, 2 and 3, against a stand-in that answers in their shapes."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from config.influx import Influx
from controller.store.answers import Away, Refused
from controller.store.base import Store, StoreError
from controller.store.influx import InfluxStore
from controller.store.sqlite import SqliteStore
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock
from tests.influx_server import Answer, InfluxServer, error, influx_server

START = datetime(2023, 2, 6, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
VERSIONS = (1, 2, 3)
WHERE = {1: {"database": "plenum"}, 2: {"bucket": "plenum", "org": "council"}, 3: {"database": "plenum"}}


def reading(minute: float, value: float | None = 20.0, point: str = "b.hall.temperature", **more: object) -> Reading:
    when = START + minute * MINUTE
    return Reading(point=point, time=when, received=when, value=value, **more)  # type: ignore[arg-type]


def store_on(server: InfluxServer, base: Path = Path(), **more: object) -> InfluxStore:
    options = Influx.model_validate({"version": server.version, "url": server.url, **WHERE[server.version], **more})
    return InfluxStore(options, site="s", base=base, clock=Clock(START))


@asynccontextmanager
async def opened(kind: str, directory: Path, clock: Clock) -> AsyncIterator[Store]:
    if kind == "sqlite":
        async with SqliteStore(directory, clock=clock) as store:
            yield store
        return
    async with influx_server(int(kind)) as server, store_on(server) as influx:
        yield influx


# --- the contract, which the embedded store keeps too --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "1", "2", "3"])
async def test_what_goes_in_comes_out_of_every_store_alike(kind: str, tmp_path: Path, clock: Clock) -> None:
    seen = START + 3 * MINUTE + timedelta(microseconds=7)
    odd = Reading(
        point="b.hall.co2",
        time=seen,
        received=seen + timedelta(milliseconds=40),
        value=800.25,
        quality=Quality.SUSPECT,
        flags=Flags.PUSHED | Flags.IN_ALARM,
    )
    bad = reading(2, None, quality=Quality.BAD, flags=Flags.NO_ANSWER)
    async with opened(kind, tmp_path, clock) as store:
        await store.append([reading(0, 1.0), reading(1, 3.0), bad, odd])
        await store.append([reading(1, 2.0), reading(45, 5.0), reading(45, 6.0, point="b.hall.other")])
        window = await store.window("b.hall.temperature", START, START + 45 * MINUTE)
        assert window.time_s.tolist() == [START.timestamp() + 60 * n for n in (0, 1, 2)]
        assert window.value[:2].tolist() == [1.0, 2.0]
        assert np.isnan(window.value[2])
        assert window.quality.tolist() == [0, 0, 3]
        assert window.flags.tolist() == [0, 0, int(Flags.NO_ANSWER)]
        half_hours = await store.aggregate("b.hall.temperature", START, START + DAY)
        assert half_hours == {START: (1.5, 1.0, 2.0, 2), START + 30 * MINUTE: (5.0, 5.0, 5.0, 1)}
        assert await store.aggregate("b.hall.co2", START, START + DAY) == {}
        newest = await store.newest()
        assert newest == {
            "b.hall.temperature": reading(45, 5.0),
            "b.hall.co2": odd,
            "b.hall.other": reading(45, 6.0, point="b.hall.other"),
        }
        empty = await store.window("b.hall.nowhere", START, START + DAY)
        assert (len(empty.time_s), len(empty.value), len(empty.quality), len(empty.flags)) == (0, 0, 0, 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_reading_that_turned_out_bad_has_no_value(version: int) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        await store.append([reading(0, 20.0)])
        await store.append([reading(0, None, quality=Quality.BAD)])  # InfluxDB keeps the field that is not sent again
        window = await store.window("b.hall.temperature", START, START + MINUTE)
        assert np.isnan(window.value).tolist() == [True]
        assert (await store.newest())["b.hall.temperature"].value is None


async def test_a_long_window_is_asked_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controller.store.influx._ROWS", 10)
    async with influx_server() as server, store_on(server) as store:
        await store.append([reading(minute, minute) for minute in range(35)])
        window = await store.window("b.hall.temperature", START, START + 30 * MINUTE)
        assert window.value.tolist() == list(range(30))
        assert sum(path == "/query" for _, path, *_ in server.asked) == 4


async def test_sites_that_share_a_database_do_not_meet() -> None:
    async with influx_server() as server, store_on(server) as store:
        server.take(["reading,point=b.hall.temperature,site=other v=99.0,q=0i,f=0i,lag=0i 1675641600000000"])
        await store.append([reading(0, 1.0)])
        assert (await store.window("b.hall.temperature", START, START + DAY)).value.tolist() == [1.0]
        assert (await store.newest())["b.hall.temperature"].value == 1.0


# --- what goes over the wire ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_precision_place_and_token_are_said_each_time(version: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\nanother line\n")
    async with influx_server(version) as server:
        more = {"username": "plenum", "password_file": "secret"} if version == 1 else {"token_file": "secret"}
        server.secret = None
        async with store_on(server, tmp_path, **more) as store:
            await store.append([reading(0)])
            await store.newest()
        (method, path, params, headers), (_, _, asked, reading_headers) = server.asked
        expected = {
            1: ("POST", "/write", {"db": "plenum", "precision": "u"}, "Basic cGxlbnVtOmh1bnRlcjI="),
            2: ("POST", "/api/v2/write", {"org": "council", "bucket": "plenum", "precision": "us"}, "Token hunter2"),
            3: ("POST", "/api/v2/write", {"bucket": "plenum", "precision": "us"}, "Token hunter2"),
        }[version]
        assert (method, path, params, headers["authorization"]) == expected
        assert (asked["db"], asked["epoch"]) == ("plenum", "u")
        assert reading_headers["authorization"] == expected[3].replace("Token", "Bearer" if version == 3 else "Token")


async def test_a_changed_secret_is_used_at_the_next_opening(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("old")
    async with influx_server(2) as server:
        server.secret = "Token new"
        store = store_on(server, tmp_path, token_file="token")
        async with store:
            with pytest.raises(Away, match="401: unauthorized access; check its user and password, or its token"):
                await store.append([reading(0)])
        secret.write_text("new")
        async with store:
            await store.append([reading(0)])
        assert server.points == 1


@pytest.mark.parametrize("more", [{"token_file": "nowhere"}, {"token_env": "PLENUM_TEST_NOT_SET"}])
async def test_a_secret_that_is_not_there_is_said_in_words(more: dict[str, str], tmp_path: Path) -> None:
    async with influx_server(2) as server:
        with pytest.raises(Away, match=next(iter(more.values()))):
            async with store_on(server, tmp_path, **more):
                pass


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n", "is not there"),
        (b"\xff\xfe", "cannot be read"),
        ("schlüssel".encode(), "no token has"),
        (b"a\tb", "no token"),
    ],
)
async def test_a_secret_that_is_none_is_said_in_words(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(content)
    async with influx_server(2) as server:
        store = store_on(server, tmp_path, token_file="token")
        with pytest.raises(Away, match=words) as caught:
            await store.__aenter__()
        assert "schl" not in str(caught.value)


async def test_an_editors_mark_before_the_secret_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xef\xbb\xbfabc \r\n")
    async with influx_server(3) as server, store_on(server, tmp_path, token_file="token") as store:
        server.secret = "Token abc"
        await store.append([reading(0)])


@pytest.mark.parametrize(
    "url",
    [
        "http://a b:8086",
        "http://x:99999",
        "http://x:0x",
        "ftp://x",
        "http://",
        "//x",
        "http:///x",
        "x",
        "http://[::1",
        "http://\x00",
    ],
)
def test_an_address_that_no_client_would_take_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not the address of a server"):
        Influx.model_validate({"version": 1, "url": url, "database": "plenum"})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["☃.net", "a..b", f"{'a' * 70}.net"])
async def test_a_name_that_no_client_takes_is_away(version: int, host: str, clock: Clock) -> None:
    options = Influx.model_validate({"version": version, "url": f"http://{host}:8086", **WHERE[version]})
    with pytest.raises(Away):
        async with InfluxStore(options, site="s", base=Path(), clock=clock) as store:
            await store.append([reading(0)])


async def test_a_secret_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLENUM_TEST_TOKEN", "abc")
    async with influx_server(3) as server:
        server.secret = "Token abc"
        async with store_on(server, token_env="PLENUM_TEST_TOKEN") as store:
            await store.append([reading(0)])


# --- what goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_silent_server_is_given_up_in_time(version: int, clock: Clock) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        server.script = [Answer(hang=True)]
        with pytest.raises(Away, match="does not answer within 30 s"):
            await store.append([reading(0)])
        assert clock.now() == START + timedelta(seconds=30)
        await store.append([reading(0)])
        assert server.points == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (error(500, {"error": "timeout", "message": "timeout"}), "answers 500: timeout"),
        (error(429, {"error": "slow", "message": "slow"}, Retry_After="7"), "answers 429: slow"),
        (Answer(hang_up=True), "cannot be reached: .*disconnected"),
        (Answer(302, headers={"location": "http://127.0.0.1:1/login"}), "answers 302"),
    ],
)
async def test_an_answer_that_is_no_success_is_away(version: int, answer: Answer, words: str) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        server.script = [answer]
        with pytest.raises(Away, match=words) as caught:
            await store.append([reading(0)])
        assert caught.value.retry_after_s == (7.0 if answer.status == 429 else 0.0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_page_instead_of_a_database_has_kept_nothing(version: int) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        server.script = [Answer(200, b"<html>please log in</html>", {"content-type": "text/html"})]
        with pytest.raises(StoreError):
            await store.append([reading(0)])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 4096,
        b"HTTP/1.1 204",
        b"HTTP/1.1 abc No\r\n\r\n",
        b"HTTP/1.1 500 X\r\ncontent-length: 999\r\n\r\nshort",
        b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 500 X\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nwords",
        b"HTTP/1.1 500 X\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 400 X\r\ncontent-length: 4\r\ncontent-type: application/json\r\n\r\n\xff\xfe{]",
    ],
)
async def test_no_answer_whatsoever_breaks_us(version: int, raw: bytes) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        server.script = [Answer(raw=raw)]
        with pytest.raises(StoreError):
            await store.append([reading(0)])
        await store.append([reading(0)])
        server.answer = lambda *_: Answer(raw=raw)  # type: ignore[method-assign]
        with pytest.raises(StoreError):
            await store.newest()
    for _ in range(4):  # generators in each other that the client leaves of an answer it could not unpack
        gc.collect()
        await asyncio.sleep(0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_nobody_there_is_away(version: int) -> None:
    async with influx_server(version) as server:
        store = store_on(server)
    async with store:
        with pytest.raises(Away, match="cannot be reached"):
            await store.append([reading(0)])
        with pytest.raises(Away, match="cannot be reached"):
            await store.newest()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_bad_line_is_told_from_a_bad_day(version: int) -> None:
    async with influx_server(version) as server, store_on(server) as store:
        server.refuses = lambda line: "partial write: field type conflict" if "bad" in line else None
        with pytest.raises(Refused) as caught:
            await store.append([reading(0), reading(0, point="b.bad.point"), reading(1)])
        assert caught.value.named == ({1: "partial write: field type conflict"} if version == 3 else {})
        assert server.points == 2


async def test_an_error_inside_a_query_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async with influx_server() as server, store_on(server) as store:
        server.query = lambda _: {"results": [{"statement_id": 0, "error": "database not found: plenum"}]}  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="database not found: plenum"):
            await store.newest()
        server.query = lambda _: {"else": 1}  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="answers as no InfluxDB does"):
            await store.newest()


async def test_a_closed_store_says_so() -> None:
    async with influx_server() as server:
        store = store_on(server)
        with pytest.raises(StoreError, match="is closed"):
            await store.append([reading(0)])
        with pytest.raises(StoreError, match="is closed"):
            await store.newest()
