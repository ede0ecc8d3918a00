"""Debian's InfluxDB 1 and VictoriaMetrics as children with a directory and a port of their own, to kill and start."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from bench.site import free_port

Kind = Literal["influxd", "victoria-metrics"]
UNPACKED = Path(__file__).parents[1] / ".servers" / "usr" / "bin"
READY_S = 30.0
DATABASE = "plenum"
_CONFIG = """reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
dir = "{home}/meta"
[data]
dir = "{home}/data"
wal-dir = "{home}/wal"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
"""


def program(kind: Kind) -> str | None:
    """Where the server is; None where there is none, neither on the machine nor unpacked by `./run test --servers`."""
    return shutil.which(kind) or shutil.which(kind, path=str(UNPACKED))


@dataclass
class Server:
    """One server; it may be stopped, frozen or killed and started again with what it has kept."""

    kind: Kind
    home: Path
    port: int = field(default_factory=free_port)
    _child: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return once it answers. Raises LookupError where it is not installed, TimeoutError."""
        found = program(self.kind)
        if found is None:
            raise LookupError(f"{self.kind} is not installed; ./run test --servers does that")
        self._make_home()
        with (self.home / f"{self.kind}.log").open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(found, *self._arguments(), stdout=log, stderr=log)
        async with asyncio.timeout(READY_S), httpx.AsyncClient(base_url=self.url, trust_env=False) as http:
            while not await self._answers(http):
                await asyncio.sleep(0.05)
            if self.kind == "influxd":
                await http.post("/query", params={"q": f"CREATE DATABASE {DATABASE}"})

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def _arguments(self) -> Sequence[str]:
        if self.kind == "victoria-metrics":
            return (f"-storageDataPath={self.home}/data", f"-httpListenAddr=127.0.0.1:{self.port}")
        config = self.home / "influxdb.conf"
        config.write_text(_CONFIG.format(home=self.home, port=self.port), encoding="utf-8")
        return ("-config", str(config))

    async def _answers(self, http: httpx.AsyncClient) -> bool:
        if self._child is None or self._child.returncode is not None:
            raise RuntimeError((self.home / f"{self.kind}.log").read_text(encoding="utf-8")[-2000:])
        try:
            return (await http.get("/ping" if self.kind == "influxd" else "/health")).is_success
        except httpx.HTTPError:
            return False

    async def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it in order, or with SIGKILL as a crash does."""
        child, self._child = self._child, None
        if child is not None and child.returncode is None:
            child.send_signal(signal.SIGCONT)
            child.send_signal(how)
            await child.wait()

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP lets it hang with its connections open; SIGCONT lets it go on."""
        if self._child is not None:
            self._child.send_signal(number)

    async def ask(self, query: str) -> list[list[Any]]:
        """Rows of an InfluxQL query."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=60) as http:
            answer = await http.get("/query", params={"db": DATABASE, "q": query, "epoch": "u"})
        return [row for series in answer.json()["results"][0].get("series", ()) for row in series["values"]]


@asynccontextmanager
async def database_server(kind: Kind, home: Path) -> AsyncIterator[Server]:
    """A server for the length of the block."""
    server = Server(kind, home)
    try:
        await server.start()
        yield server
    finally:
        await server.end()
