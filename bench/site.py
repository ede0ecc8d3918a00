"""The sites of the examples on ports of its own, so that a bench disturbs nobody."""

import re
import socket
from contextlib import closing
from pathlib import Path

from config.load import draft_of
from config.site import Site

EXAMPLES = Path(__file__).parents[1] / "config" / "examples"
EXAMPLE = EXAMPLES / "townhall.yaml"
BASES = range(21_000, 32_000, 100)  # below the ports a system hands out by itself
_PORT = re.compile(r"\b478(\d\d)\b")


class NoRoom(Exception):  # noqa: N818  nothing of ours is wrong
    """No block of free ports was found."""


def moved(text: str | None = None) -> str:
    """The text of a site file (None = the town hall) whose field ports are free ones. Raises NoRoom."""
    text = EXAMPLE.read_text(encoding="utf-8") if text is None else text
    ports = sorted({int(number) for number in _PORT.findall(text)})
    base = next((base for base in BASES if all(_is_free(base + port) for port in ports)), None)
    if base is None:
        raise NoRoom(f"no block of free ports from {BASES.start} to {BASES.stop}")
    return _PORT.sub(lambda found: str(base + int(found[1])), text)


def example(name: str = "townhall") -> Site:
    """An example's site on free ports."""
    file = EXAMPLES / f"{name}.yaml"
    site = draft_of(moved(file.read_text(encoding="utf-8")), file.name).site
    if site is None:
        raise ValueError(f"{file.name} is not in order; see plenum check")
    return site


def free_port() -> int:
    """A TCP port that nobody uses at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with closing(socket.socket(socket.AF_INET, kind)) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
