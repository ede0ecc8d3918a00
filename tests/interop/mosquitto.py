"""Debian's Mosquitto as a child of a test, with a certificate authority made on the spot."""

import asyncio
import getpass
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

HOST, PORT = "127.0.0.1", 47895
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
BASE = "persistence true\nautosave_interval 1\n"


@dataclass
class Mosquitto:
    """One broker; `settings` are lines of its configuration."""

    home: Path
    settings: str = "allow_anonymous true\n"
    port: int = PORT
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    async def start(self) -> None:
        """Return once it takes connections."""
        config = self.home / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} {HOST}\nuser {getpass.getuser()}\n{BASE}"
            f"persistence_location {self.home}/\n{self.settings}"
        )
        with (self.home / "mosquitto.log").open("ab") as log:
            self._child = await asyncio.to_thread(
                subprocess.Popen, [_program(), "-c", str(config)], stdout=log, stderr=log
            )
        for _ in range(200):
            try:
                _, writer = await asyncio.open_connection(HOST, self.port)
            except ConnectionRefusedError:
                assert self._child.poll() is None, (self.home / "mosquitto.log").read_text()
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return
        raise AssertionError("mosquitto does not listen")

    async def stop(self) -> None:
        """End it in order: it saves what it keeps."""
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            await asyncio.to_thread(child.wait)

    def freeze(self) -> None:
        """Leave the connections open and say nothing more."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)


@asynccontextmanager
async def mosquitto(home: Path, settings: str = "allow_anonymous true\n") -> AsyncIterator[Mosquitto]:
    server = Mosquitto(home, settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


def _program() -> str:
    """Where Debian puts it is not on everybody's path."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    assert found is not None, "mosquitto is not installed; ./run test --servers does that"
    return found


def passwords(home: Path, **users: str) -> Path:
    """A password file."""
    file = home / "passwd"
    file.touch(mode=0o600)
    for user, password in users.items():
        subprocess.run(["mosquitto_passwd", "-b", str(file), user, password], check=True, capture_output=True)
    return file


@dataclass(frozen=True)
class Authority:
    """Makes certificates; `ca` is its own."""

    home: Path

    @property
    def ca(self) -> Path:
        return self.home / "ca.pem"

    def certificate(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of a server on 127.0.0.1, or of a client, called `name`."""
        key, request, cert, more = (self.home / f"{name}.{ending}" for ending in ("key", "csr", "pem", "ext"))
        more.write_text(f"subjectAltName=IP:{HOST},DNS:localhost\n")
        _openssl("req", *KEY, "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.home / "ca.key", "-CAcreateserial",
            "-out", cert, "-days", "2", "-extfile", more,
        )  # fmt: skip
        return cert, key


def authority(home: Path) -> Authority:
    home.mkdir()
    made = Authority(home)
    _openssl(
        "req", "-x509", *KEY, "-nodes", "-keyout", home / "ca.key", "-out", made.ca,
        "-days", "2", "-subj", "/CN=test authority", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
