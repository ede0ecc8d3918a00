"""A stand-in for InfluxDB 1, 2 and 3: takes lines, answers the InfluxQL that we ask, and fails as they do."""

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

LINE = re.compile(r"reading,point=([\w.]+),site=(\w+) (?:v=([^,]+),)?q=(\d)i,f=(\d+)i,lag=(-?\d+)i (\d+)")
Rows = dict[tuple[str, str], dict[int, dict[str, float]]]


@dataclass(frozen=True)
class Answer:
    """What it says instead of doing its work; `hang` says nothing at all, `hang_up` closes after having taken it."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    hang_up: bool = False
    raw: bytes | None = None  # these bytes instead of any answer, then the end


def error(status: int, body: Mapping[str, Any], **headers: str) -> Answer:
    return Answer(status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class InfluxServer:
    """`rows` by (point, site) and time; `script` is what it answers to the next writes, then it works again."""

    def __init__(self, version: int = 1, scheme: str = "http") -> None:
        self.version, self.scheme = version, scheme
        self.rows: Rows = {}
        self.writes: list[list[str]] = []  # lines of each write that was taken
        self.asked: list[tuple[str, str, dict[str, str], dict[str, str]]] = []  # method, path, parameters, headers
        self.script: list[Answer] = []
        self.always: Answer | None = None  # until it is taken away: the database is down
        self.refuses: Callable[[str], str | None] = lambda _: None  # why a line is bad, of the version's own kind
        self.port = 0
        self.overwritten = 0  # lines of a point and time that were there
        self.secret: str | None = None  # value of the Authorization header that is wanted

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def points(self) -> int:
        return sum(len(rows) for rows in self.rows.values())

    # --- work --------------------------------------------------------------------------------------------------

    def write(self, lines: list[str]) -> Answer:
        bad = {n: why for n, line in enumerate(lines) if (why := self.refuses(line)) is not None}
        if bad and self.version != 3 and not all("partial" in why for why in bad.values()):
            why = next(iter(bad.values()))  # a line that cannot be read spoils the whole request
            return error(400, {"error": why} if self.version == 1 else {"code": "invalid", "message": why})
        self.take([line for n, line in enumerate(lines) if n not in bad])
        if not bad:
            return Answer()
        why = next(iter(bad.values()))
        if self.version == 1:
            return error(400, {"error": f"{why} dropped={len(bad)}"})
        if self.version == 2:
            words = f"failure writing points to database: {why} dropped={len(bad)}"
            return error(422, {"code": "unprocessable entity", "message": words})
        named = [
            {"original_line": lines[n], "line_number": n + 1, "error_message": why}
            for n, why in list(bad.items())[:100]
        ]
        return error(400, {"error": "partial write of line protocol occurred", "data": named})

    def take(self, lines: list[str]) -> None:
        self.writes.append(lines)
        for line in lines:
            found = LINE.fullmatch(line)
            assert found, f"not of the schema: {line!r}"
            point, site, v, q, f, lag, at = found.groups()
            row = self.rows.setdefault((point, site), {}).setdefault(int(at), {})
            self.overwritten += bool(row)
            row.update({"q": int(q), "f": int(f), "lag": int(lag)} | ({} if v is None else {"v": float(v)}))

    def query(self, text: str) -> dict[str, Any]:
        where = dict(re.findall(r"(point|site) = '([^']*)'", text))
        low, high = re.search(r"time >= (\d+)u", text), re.search(r"time < (\d+)u", text)
        start, end = int(low[1]) if low else 0, int(high[1]) if high else 1 << 62
        chosen = {
            key: {at: row for at, row in sorted(rows.items()) if start <= at < end}
            for key, rows in self.rows.items()
            if where == dict(zip(("point", "site"), key, strict=True)) or where == {"site": key[1]}
        }
        series = list(self._series(text, {key: rows for key, rows in chosen.items() if rows}))
        return {"results": [{"statement_id": 0, **({"series": series} if series else {})}]}

    def _series(self, text: str, chosen: Rows) -> Iterator[dict[str, Any]]:
        if every := re.search(r"GROUP BY time\((\d+)u\)", text):
            step, slots = int(every[1]), {}
            for rows in chosen.values():
                for at, row in rows.items():
                    if row["q"] == 0 and "v" in row:
                        slots.setdefault(at // step * step, []).append(row["v"])
            values = [[at, sum(v) / len(v), min(v), max(v), len(v)] for at, v in slots.items()]
            yield {"name": "reading", "columns": ["time", "mean", "min", "max", "count"], "values": values}
            return
        names = re.findall(r"\w+", text.split("SELECT ")[1].split(" FROM", maxsplit=1)[0])
        limit = re.search(r"LIMIT (\d+)", text)
        for (point, _), rows in sorted(chosen.items()):
            ordered = sorted(rows.items(), reverse="DESC" in text)[: int(limit[1]) if limit else None]
            values = [[at, *(row.get(name) for name in names)] for at, row in ordered]
            tags = {"tags": {"point": point}} if "GROUP BY point" in text else {}
            yield {"name": "reading", **tags, "columns": ["time", *names], "values": values}

    # --- HTTP --------------------------------------------------------------------------------------------------

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *rest = head.decode().split("\r\n")
                method, target, _ = first.split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                answer = self.answer(method, target, headers, body.decode())
                if answer.hang:
                    await reader.read()  # until the other side gives up
                    break
                if answer.hang_up or answer.raw is not None:
                    writer.write(answer.raw or b"")
                    break
                lines = [f"HTTP/1.1 {answer.status} X", f"content-length: {len(answer.body)}"]
                lines += [f"{name}: {value}" for name, value in answer.headers.items()]
                writer.write("\r\n".join([*lines, "", ""]).encode() + answer.body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side is gone
        finally:
            writer.close()

    def answer(self, method: str, target: str, headers: dict[str, str], body: str) -> Answer:
        parts = urlsplit(target)
        params = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append((method, parts.path, params, headers))
        if self.secret is not None and headers.get("authorization") != self.secret:
            return error(401, {"code": "unauthorized", "message": "unauthorized access"})
        if method == "GET" and parts.path == "/query":
            return Answer(200, json.dumps(self.query(params["q"])).encode(), {"content-type": "application/json"})
        if (method, parts.path) != ("POST", "/write" if self.version == 1 else "/api/v2/write"):
            return error(404, {"code": "not found", "message": "path not found"})
        told = self.always or (self.script.pop(0) if self.script else None)
        lines = body.split("\n")
        if told is None:
            return self.write(lines)
        if told.hang_up:
            self.take(lines)
        return told


@asynccontextmanager
async def influx_server(version: int = 1, tls: ssl.SSLContext | None = None) -> AsyncIterator[InfluxServer]:
    made, serving = InfluxServer(version, scheme="http" if tls is None else "https"), []
    async with asyncio.TaskGroup() as tasks:
        server = await asyncio.start_server(
            lambda reader, writer: serving.append(tasks.create_task(made.serve(reader, writer))),
            "127.0.0.1",
            0,
            ssl=tls,
        )
        made.port = server.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            server.close()
            for task in serving:
                task.cancel()
            await server.wait_closed()
