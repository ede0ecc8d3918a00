"""What an InfluxDB's answer to a write means, whichever version gave it (pure)."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from controller.store.base import StoreError

MOST_WAIT_S = 3600.0  # that a server may ask of us
_LINE_STATUS = frozenset({400, 413, 422})  # about what was sent; all others are about the server, or us
_WORDS = 300  # of an answer that are repeated
_TOO_OLD = re.compile(r"beyond retention policy", re.IGNORECASE)
_DROPPED = re.compile(r"dropped[= ](\d+)", re.IGNORECASE)
_CURES = {
    401: "check its user and password, or its token",
    403: "check what its user or token may write",
    404: "check the name of database, or bucket and org, and the version",
}


class Away(StoreError):  # noqa: N818  a state
    """The database takes nothing now; later it may. `retry_after_s` is what it asked for, 0 if nothing."""

    def __init__(self, text: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Refused(StoreError):  # noqa: N818
    """The database will not have some of the lines, or all; what it took of the others is not known.

    `named` says which ones and why, where it told us; `too_old` that they are older than it keeps, `dropped` how many.
    """

    def __init__(
        self, text: str, *, named: Mapping[int, str] | None = None, too_old: bool = False, dropped: int | None = None
    ) -> None:
        super().__init__(text)
        self.named, self.too_old, self.dropped = named or {}, too_old, dropped


def complaint(
    status: int, body: bytes, *, headers: Mapping[str, str], lines: Sequence[str], now: datetime
) -> Away | Refused:
    """What an answer other than success means for the lines that were sent; `headers` with names in small letters."""
    data = _json(body)
    text = f"answers {status}: {_words(data, body, headers)}"
    if status not in _LINE_STATUS:
        cure = f"; {_CURES[status]}" if status in _CURES else ""
        return Away(text + cure, retry_after_s=_retry_after_s(headers.get("retry-after", ""), now))
    dropped = _DROPPED.search(text)
    return Refused(
        text,
        named=_named(data.get("data") if isinstance(data, dict) else None, lines),
        too_old=_TOO_OLD.search(text) is not None,
        dropped=None if dropped is None else int(dropped[1]),
    )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _words(data: Any, body: bytes, headers: Mapping[str, str]) -> str:
    """1 and 3 say `error`, 2 says `message`; a proxy says anything."""
    said = None
    if isinstance(data, dict):
        said = data.get("message") or data.get("error")
    said = said or headers.get("x-influxdb-error") or headers.get("x-platform-error-code")
    words = said if isinstance(said, str) else body.decode("utf-8", "replace")
    return " ".join(words.split())[:_WORDS] or "no words"


def _named(found: Any, lines: Sequence[str]) -> dict[int, str]:
    """The lines that version 3 names by number, from 1, and repeats, perhaps not to their end."""
    named = {}
    for item in found if isinstance(found, list) else [found]:
        if not isinstance(item, dict):
            continue
        number, original = item.get("line_number"), item.get("original_line")
        if not isinstance(number, int) or not isinstance(original, str) or not 1 <= number <= len(lines):
            continue
        start = original.rstrip(". ")
        if start and lines[number - 1].startswith(start):  # else it counts otherwise than we do
            named[number - 1] = str(item.get("error_message") or "refused")
    return named


def _retry_after_s(text: str, now: datetime) -> float:
    """Seconds or a date, as RFC 9110 has it (10.2.3); 0 for anything else."""
    try:
        wait_s = float(text)
    except ValueError:
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        wait_s = ((when if when.tzinfo else when.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(wait_s, 0.0), MOST_WAIT_S) if wait_s == wait_s else 0.0  # noqa: PLR0124  NaN
