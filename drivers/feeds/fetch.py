"""Asks a source on the web, with limits to time and size; every way to fail is one of ours."""

import asyncio
import json
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from drivers.base import NotReachable
from drivers.clock import Clock

TIME_OUT_S = 20.0  # for a whole answer, however slowly it drips
MOST_BYTES = 4_000_000
MOST_PATIENCE = timedelta(hours=6)  # a source that wants to be left alone for longer is asked again all the same
AGENT = "plenum (building controller; one request a half-hour)"


class Unavailable(NotReachable):
    """The source did not answer with what was asked for; `retry_after` is what it wished for, None = nothing."""

    def __init__(self, text: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class Web:
    """One source on the web."""

    def __init__(self, address: str, *, clock: Clock, proxy: str | None = None) -> None:
        self._address, self._clock = httpx.URL(address.rstrip("/") + "/"), clock
        self._client = httpx.AsyncClient(
            timeout=TIME_OUT_S,
            proxy=proxy,
            trust_env=False,
            headers={"User-Agent": AGENT, "Accept": "application/json"},
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def json(self, path: str, parameters: dict[str, str] | None = None) -> Any:
        """The JSON at a path below the source's address, or at a whole address of the same host; raises Unavailable."""
        try:
            url = self._address.join(path)
        except httpx.InvalidURL:
            raise Unavailable(f"{self._address.host} sends us on to {path[:80]!r}, which is no address") from None
        if (url.scheme, url.host, url.port) != (self._address.scheme, self._address.host, self._address.port):
            raise Unavailable(f"{self._address.host} sends us on to {url.host}, where we do not go")
        try:
            async with asyncio.timeout(TIME_OUT_S):
                status, headers, body = await self._get(url, parameters)
        except (TimeoutError, httpx.TimeoutException):
            raise Unavailable(f"{url.host}: no whole answer within {TIME_OUT_S:.0f} s") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"{url.host}: {str(error) or type(error).__name__}") from error
        if status != httpx.codes.OK:
            raise Unavailable(f"{url.host}: answered {status}", retry_after=self._patience(headers))
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            what = "a web page" if body.lstrip()[:1] == b"<" else "something else or a part"
            raise Unavailable(f"{url.host}: {what} instead of JSON ({len(body)} bytes)") from None

    async def _get(self, url: httpx.URL, parameters: dict[str, str] | None) -> tuple[int, httpx.Headers, bytes]:
        body = bytearray()
        async with self._client.stream("GET", url, params=parameters) as answer:
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise Unavailable(f"{url.host}: an answer of more than {MOST_BYTES:,} bytes")
        return answer.status_code, answer.headers, bytes(body)

    def _patience(self, headers: httpx.Headers) -> timedelta | None:
        """How long the source wishes to be left alone (RFC 9110, 10.2.3): seconds, or a date."""
        text = headers.get("retry-after", "").strip()
        if text.isdecimal():
            return min(timedelta(seconds=min(int(text), 10**6)), MOST_PATIENCE)
        try:
            when: datetime = parsedate_to_datetime(text)
        except ValueError:
            return None
        if when.tzinfo is None:
            return None
        return min(max(when - self._clock.now(), timedelta(0)), MOST_PATIENCE)
