"""A stand-in for the services behind feeds: real HTTP on loopback, real shapes, and every way to fail."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from drivers.clock import Clock

FIXTURES = Path(__file__).parent / "data" / "feeds"
HALF = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    time: datetime
    path: str
    query: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What comes back, and how."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None  # the connection breaks after so many bytes of the body
    drip_s: float | None = None  # seconds between single bytes
    hangs: bool = False  # nothing ever comes


def as_json(what: Any, **how: Any) -> Answer:
    return Answer(body=json.dumps(what).encode(), headers={"Content-Type": "application/json"}, **how)


HTML = Answer(body=b"<!doctype html><title>Please log in</title>", headers={"Content-Type": "text/html"})
BROKEN = Answer(status=500, body=b'{"error": {"code": "500 Internal Server Error", "message": "sorry"}}')
SILENT = Answer(hangs=True)

Reply = Callable[[Asked], Answer]


class FeedServer:
    """Answers by `reply`, which tests replace; `asked` is what came."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.asked: list[Asked] = []
        self.reply: Reply = lambda _: Answer(status=404)
        self.address = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FeedServer"]:
        writers: list[asyncio.StreamWriter] = []

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            try:
                await self._talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass  # the asker went away
            finally:
                writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for writer in writers:
                writer.close()
            await asyncio.sleep(1.0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ")[1])
        query = {key: values[0] for key, values in parse_qs(target.query).items()}
        asked = Asked(self._clock.now(), unquote(target.path), query)
        self.asked.append(asked)
        answer = self.reply(asked)
        if answer.hangs:
            await reader.read()  # until the asker goes away
            return
        headers = {"Content-Length": str(len(answer.body)), "Connection": "close", **answer.headers}
        lines = [f"HTTP/1.1 {answer.status} x", *(f"{key}: {value}" for key, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        if answer.drip_s is None:
            writer.write(answer.body if answer.cut_at is None else answer.body[: answer.cut_at])
        for byte in answer.body if answer.drip_s is not None else b"":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(answer.drip_s or 0.0)
        await writer.drain()


# --- the shapes --------------------------------------------------------------------------------------------------


def fixture(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))


def half_hours(start: datetime, count: int, value: Callable[[datetime], dict[str, Any]]) -> list[dict[str, Any]]:
    """National records from `start` on."""
    times = [start + n * HALF for n in range(count)]
    return [
        {
            "from": f"{at:%Y-%m-%dT%H:%MZ}",
            "to": f"{at + HALF:%Y-%m-%dT%H:%MZ}",
            "intensity": {**value(at), "index": "low"},
        }
        for at in times
    ]


def region(postcode: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A region's answer: no actuals, and a generation mix that nobody asked for."""
    told = [
        {
            "from": row["from"],
            "to": row["to"],
            "intensity": {"forecast": row["intensity"]["forecast"], "index": "low"},
            "generationmix": [{"fuel": "gas", "perc": 40.5}, {"fuel": "wind", "perc": 59.5}],
        }
        for row in rows
    ]
    return {"data": {"regionid": 8, "dnoregion": "x", "shortname": "West Midlands", "postcode": postcode, "data": told}}


class Neso:
    """The Carbon Intensity API over functions of time; `actual` None = not known yet."""

    def __init__(self, forecast: Callable[[datetime], float], actual: Callable[[datetime], float | None]) -> None:
        self.forecast, self.actual = forecast, actual
        self.issued: Callable[[datetime, datetime], float] | None = None  # (asked for, at) where forecasts change

    def __call__(self, asked: Asked) -> Answer:
        parts = asked.path.strip("/").split("/")
        if parts[0] == "regional":
            start = _time(parts[2])
            rows = half_hours(start - HALF, 97, lambda at: {"forecast": self._said(start, at), "actual": None})
            return as_json(region(parts[5], rows))
        start = _time(parts[1])
        if parts[2] == "fw48h":  # the first record is the half-hour that ends at the time asked for
            rows = half_hours(start - HALF, 97, lambda at: {"forecast": self._said(start, at), "actual": None})
        else:
            rows = half_hours(
                start - timedelta(hours=24),
                49,
                lambda at: {"forecast": self.forecast(at), "actual": self._was(at, start)},
            )
        return as_json({"data": rows})

    def _said(self, start: datetime, at: datetime) -> float:
        return self.forecast(at) if self.issued is None else self.issued(start, at)

    def _was(self, at: datetime, start: datetime) -> float | None:
        return self.actual(at) if at < start else None


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ").replace(tzinfo=UTC)


def weather(asked: Asked, *, degc: Callable[[datetime], float | None], sun: Callable[[datetime], float | None]) -> Any:
    """The hourly shape: parallel columns from midnight of yesterday, times without a zone."""
    first = asked.time.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(
        days=int(asked.query["past_days"])
    )
    hours = 24 * (int(asked.query["past_days"]) + int(asked.query["forecast_days"]))
    times = [first + timedelta(hours=n) for n in range(hours)]
    return {
        "latitude": float(asked.query["latitude"]),
        "utc_offset_seconds": 0,
        "timezone": asked.query["timezone"],
        "hourly_units": {"time": "iso8601", "temperature_2m": "°C", "shortwave_radiation": "W/m²"},
        "hourly": {
            "time": [f"{at:%Y-%m-%dT%H:%M}" for at in times],
            "temperature_2m": [degc(at) for at in times],
            "shortwave_radiation": [sun(at) for at in times],
        },
    }


def rates(rows: list[dict[str, Any]], *, following: str | None = None) -> dict[str, Any]:
    return {"count": len(rows), "next": following, "previous": None, "results": rows}


def rate(start: datetime, pence: float, *, end: datetime | None = None, method: str | None = None) -> dict[str, Any]:
    """One unit rate with 5 % of tax."""
    return {
        "value_exc_vat": pence,
        "value_inc_vat": pence * 1.05,
        "valid_from": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "valid_to": None if end is None else f"{end:%Y-%m-%dT%H:%M:%SZ}",
        "payment_method": method,
    }
