"""InfluxDB 1, 2 and 3 behind the `Store` contract: lines in, InfluxQL out; the only file that knows their APIs.

Version 1 takes lines at `/write`, 2 and 3 at `/api/v2/write` through influxdb-client. All three answer InfluxQL at
`/query` (2 maps the bucket's name by itself). Nothing is kept, batched or tried again here: that is the outbox's work.
To import this takes a second: do it before the event loop runs.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import httpx
import numpy as np
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException

from config.influx import Influx
from controller.store.access import NoAccess, secret_of, tls_of
from controller.store.answers import Away, complaint
from controller.store.base import StoreError, Window
from controller.store.lines import CODES, MEASUREMENT, QUALITIES, lines_of
from controller.store.stamp import micros, moment, span_micros
from drivers.base import Flags, Quality, Reading
from drivers.clock import Clock

SEND_S, ASK_S = 30.0, 60.0
_LINES = 5_000  # of one request
_ROWS = 50_000  # of one answer

Send = Callable[[Sequence[str]], Awaitable[None]]


class InfluxStore:
    """A `Store` for one site's readings in a database that others may share. `async with` opens and closes it.

    Opening reads the secrets and asks the server nothing; every method raises Away while it does not answer, StoreError
    if it answers what is no answer. Times are kept to the microsecond.
    """

    def __init__(self, options: Influx, *, site: str, base: Path, clock: Clock) -> None:
        """`base` is the directory from which the options' files count."""
        self.name = f"InfluxDB {options.version} at {options.url}"
        self._options, self._site, self._base, self._clock = options, site, base, clock
        self._open: AsyncExitStack | None = None
        self._tls: ssl.SSLContext | None = None
        self._http: httpx.AsyncClient | None = None
        self._write: Send = self._closed

    async def __aenter__(self) -> Self:
        """Raises Away if a secret or the authority's file cannot be read."""
        try:  # the secret at each opening, so that it can be changed while we run
            secret = secret_of(self._options, self._base)
            tls = self._tls = self._tls or tls_of(self._options, self._base)
        except NoAccess as error:
            raise self._away(f"cannot be asked: {error}") from None
        headers, auth = {}, None
        if self._options.username is not None:
            auth = httpx.BasicAuth(self._options.username, secret)
        elif secret:
            headers["Authorization"] = f"{'Bearer' if self._options.version == 3 else 'Token'} {secret}"
        try:
            http = httpx.AsyncClient(
                base_url=self._options.url, headers=headers, auth=auth, verify=tls, timeout=ASK_S, trust_env=False
            )
        except httpx.InvalidURL as error:
            raise self._away(f"cannot be asked: {error}") from None
        async with AsyncExitStack() as stack:
            self._http = await stack.enter_async_context(http)
            if self._options.version == 1:
                self._write = self._write_v1
            else:
                self._write = await stack.enter_async_context(self._v2(secret, tls))
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        stack, self._open, self._http, self._write = self._open, None, None, self._closed
        if stack is not None:
            await stack.aclose()

    async def append(self, readings: Sequence[Reading]) -> None:
        for n in range(0, len(readings), _LINES):
            await self.send(lines_of(readings[n : n + _LINES], site=self._site))

    async def send(self, lines: Sequence[str]) -> None:
        """Return once the database has taken every line. Raises Away, Refused."""
        try:
            async with asyncio.timeout(SEND_S):
                await self._write(lines)
        except TimeoutError:
            raise self._away(f"does not answer within {SEND_S:.0f} s") from None

    async def window(self, point: str, start: datetime, end: datetime) -> Window:
        rows: list[list[Any]] = []
        first = micros(start)
        while True:
            between = self._between(point, first, micros(end))
            query = f"SELECT v, q, f FROM {MEASUREMENT} WHERE {between} ORDER BY time LIMIT {_ROWS}"  # noqa: S608  quoted
            page = await self._rows(query)
            rows += page
            if len(page) < _ROWS:
                break
            first = page[-1][0] + 1
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)  # None becomes NaN
        time, value, quality, flags = table.T
        return Window(
            time_s=time / 1e6,
            value=np.where(quality == CODES[Quality.BAD], np.nan, value),
            quality=quality.astype(np.int8),
            flags=flags.astype(np.int32),
        )

    async def aggregate(
        self, point: str, start: datetime, end: datetime, step: timedelta = timedelta(minutes=30)
    ) -> Mapping[datetime, tuple[float, float, float, int]]:
        query = (
            f"SELECT mean(v), min(v), max(v), count(v) FROM {MEASUREMENT}"  # noqa: S608  quoted
            f" WHERE {self._between(point, micros(start), micros(end))} AND q = {CODES[Quality.GOOD]}"
            f" GROUP BY time({span_micros(step)}u) fill(none)"
        )
        rows = await self._rows(query)
        return {moment(at): (mean, low, high, count) for at, mean, low, high, count in rows if count}

    async def newest(self) -> Mapping[str, Reading]:
        query = (
            f"SELECT v, q, f, lag FROM {MEASUREMENT} WHERE site = {_quoted(self._site)}"  # noqa: S608  quoted
            " GROUP BY point ORDER BY time DESC LIMIT 1"
        )
        found = {series["tags"]["point"]: series["values"][0] for series in await self._ask(query)}
        return {point: _reading(point, row) for point, row in found.items()}

    # --- how --------------------------------------------------------------------------------------------------

    async def _write_v1(self, lines: Sequence[str]) -> None:
        database, body = self._options.database, "\n".join(lines).encode()
        answer = await self._request("POST", "/write", {"db": database, "precision": "u"}, content=body)
        if answer.status_code != 204:
            raise self._complaint(answer.status_code, answer.content, answer.headers, lines)

    @asynccontextmanager
    async def _v2(self, token: str, tls: ssl.SSLContext) -> AsyncIterator[Send]:
        options, most_ms = self._options, SEND_S * 1000
        precision: Any = WritePrecision.US  # a word, though the client says otherwise
        bucket, org = options.bucket or options.database or "", options.org or ""

        async def write(lines: Sequence[str]) -> None:
            body = "\n".join(lines)
            try:
                done = await api.write(bucket=bucket, org=org, record=body, write_precision=precision)
            except ApiException as error:
                raise self._complaint(error.status or 0, error.body or b"", error.headers or {}, lines) from None
            except (aiohttp.ClientError, OSError, UnicodeError) as error:
                raise self._away(f"cannot be reached: {_told(error)}") from None
            if not done:  # some 2xx, or a page behind a redirect: not a database that has kept anything
                raise self._away("answers as no InfluxDB does; check the address")

        async with InfluxDBClientAsync(
            options.url, token=token, org=org, timeout=most_ms, ssl_context=tls, allow_redirects=False
        ) as client:
            api = client.write_api()
            yield write

    async def _rows(self, query: str) -> list[list[Any]]:
        """The rows of a query for one series."""
        return [row for series in await self._ask(query) for row in series["values"]]

    async def _ask(self, query: str) -> list[Any]:
        """The series of one InfluxQL query's answer."""
        database = self._options.database or self._options.bucket
        try:
            async with asyncio.timeout(ASK_S):
                answer = await self._request("GET", "/query", {"db": database, "q": query, "epoch": "u"})
            if answer.status_code != 200:
                raise self._complaint(answer.status_code, answer.content, answer.headers, ())
            (result,) = answer.json()["results"]
            if "error" in result:
                raise StoreError(f"{self.name}: {result['error']}")
            series: list[Any] = result.get("series", [])
        except TimeoutError:
            raise self._away(f"does not answer within {ASK_S:.0f} s") from None
        except (ValueError, KeyError, TypeError):
            raise StoreError(f"{self.name}: answers as no InfluxDB does; check the address") from None
        return series

    async def _request(
        self, method: str, path: str, params: Mapping[str, Any], *, content: bytes | None = None
    ) -> httpx.Response:
        if self._http is None:
            raise StoreError(f"{self.name}: is closed")
        try:
            return await self._http.request(method, path, params=params, content=content)
        except (httpx.HTTPError, UnicodeError) as error:  # a name that no resolver takes
            raise self._away(f"cannot be reached: {_told(error)}") from None

    async def _closed(self, lines: Sequence[str]) -> None:
        raise StoreError(f"{self.name}: is closed, {len(lines)} lines were not sent")

    def _complaint(self, status: int, body: bytes, headers: Any, lines: Sequence[str]) -> StoreError:
        small = {str(name).lower(): str(value) for name, value in headers.items()}
        error = complaint(status, body, headers=small, lines=lines, now=self._clock.now())
        error.args = (f"{self.name} {error}",)
        return error

    def _away(self, text: str) -> Away:
        return Away(f"{self.name} {text}")

    def _between(self, point: str, start: int, end: int) -> str:
        """Of one point, in microseconds since 1970."""
        return f"point = {_quoted(point)} AND site = {_quoted(self._site)} AND time >= {start}u AND time < {end}u"


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _quoted(text: str) -> str:
    """A string of InfluxQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _reading(point: str, row: Sequence[Any]) -> Reading:
    stamp, value, quality, flags, lag = row
    return Reading(
        point=point,
        time=moment(stamp),
        received=moment(stamp + lag),
        value=None if quality == CODES[Quality.BAD] else value,
        quality=QUALITIES[quality],
        flags=Flags(flags),
    )
