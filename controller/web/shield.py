"""What every request passes first: host names, cross-site posts, body size; and the headers of every answer."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 1_000_000
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class _TooLarge(Exception):  # noqa: N818  a signal within this file
    pass


class Shield:
    """Refuses what no page of ours sends, before any of our code reads it.

    A Host that is not this machine's own name means DNS rebinding; a POST or DELETE from another site is forgery.
    Programs such as curl send neither Sec-Fetch-Site nor Origin and pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = _refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await PlainTextResponse(refusal[1] + "\n", status_code=refusal[0])(scope, receive, answer)
            return
        try:
            await self._app(scope, _limited(receive), answer)
        except _TooLarge:
            await PlainTextResponse("The body is larger than 1 MB.\n", status_code=413)(scope, receive, answer)


def _refusal(method: str, headers: Headers) -> tuple[int, str] | None:
    host = headers.get("host", "")
    if not _LOOPBACK.fullmatch(host):
        return 400, f"This service answers only to 127.0.0.1 and localhost, not to {host[:80]!r}."
    if method not in {"GET", "HEAD", "OPTIONS"} and not _same_origin(headers, host):
        return 403, "Refused: the request came from another site. Use the pages of this service itself."
    length = headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > 12 or int(length) > BODY_LIMIT:
        return 413, "The body is larger than 1 MB."
    return None


def _same_origin(headers: Headers, host: str) -> bool:
    """`Referrer-Policy: no-referrer` turns a form's Origin into "null", so Sec-Fetch-Site decides where it is sent."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in {"same-origin", "none"}
    return origin is None or (urlsplit(origin).scheme in {"http", "https"} and urlsplit(origin).netloc == host)


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_LIMIT:
            raise _TooLarge
        return message

    return counted
