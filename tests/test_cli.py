"""Exit codes and messages of the command, without a building."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from controller.cli import run
from controller.store.claim import claim
from site_sims.prelude import SITE
from tests.shifted import shifted_site

BROKEN = Path(__file__).parent / "broken_sites" / "capital_id.yaml"


@contextmanager
def _occupied(kind: socket.SocketKind, port: int) -> Iterator[None]:
    with closing(socket.socket(socket.AF_INET, kind)) as taken:
        taken.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        yield


def test_a_good_site_is_ok(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(SITE)]) == 0
    assert capsys.readouterr().out.endswith("ok\n")


@pytest.mark.parametrize("command", ["check", "run", "plan"])
def test_a_broken_site_is_wrong_input_for_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, str(BROKEN)]) == 2
    assert "capital_id.yaml" in capsys.readouterr().err


def test_findings_may_be_read_by_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--json", str(BROKEN)]) == 2
    assert json.loads(capsys.readouterr().out)


def test_a_second_service_on_the_same_data_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = shifted_site(tmp_path, 400)
    with claim(tmp_path / "data"):
        assert run(["run", str(site)]) == 3
    assert "already controlling" in capsys.readouterr().err


def test_a_taken_page_port_is_named_before_anything_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = shifted_site(tmp_path, 400)
    with _occupied(socket.SOCK_STREAM, 8480):
        assert run(["run", str(site)]) == 2
    assert "8480" in capsys.readouterr().err
    assert not (tmp_path / "data" / "control.sqlite").exists()


def test_a_missing_intensity_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = shifted_site(tmp_path, 400)
    text = site.read_text(encoding="utf-8").replace("factor_year: 2023", "factor_year: 2023, intensity_file: gone.csv")
    site.write_text(text, encoding="utf-8")
    assert run(["run", str(site)]) == 2
    assert "gone.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "port", "words"),
    [
        (socket.SOCK_DGRAM, 48212, "UDP port 48212 (BACnet device zones_a)"),
        (socket.SOCK_DGRAM, 48201, "UDP port 48201 (our own BACnet socket)"),
        (socket.SOCK_STREAM, 48283, "TCP port 48283 (the MQTT broker)"),
    ],
)
def test_the_demo_names_a_busy_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: socket.SocketKind, port: int, words: str
) -> None:
    site = shifted_site(tmp_path, 400)
    with _occupied(kind, port):
        assert run(["demo", "--site", str(site), "--data", str(tmp_path / "demo")]) == 2
    assert words in capsys.readouterr().out


def test_the_demo_clears_only_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = shifted_site(tmp_path, 400)
    precious = tmp_path / "home" / "letter.txt"
    precious.parent.mkdir()
    precious.write_text("dear all")
    assert run(["demo", "--site", str(site), "--data", str(precious.parent)]) == 2
    assert "holds something else" in capsys.readouterr().out
    assert precious.read_text() == "dear all"


def test_a_second_demo_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = shifted_site(tmp_path, 400)
    data = tmp_path / "demo"
    data.mkdir()
    (data / "demo").touch()
    with claim(data):
        assert run(["demo", "--site", str(site), "--data", str(data)]) == 3
    assert "already controlling" in capsys.readouterr().out


def test_a_demo_goes_forward(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["demo", "--pace", "0", "--data", str(tmp_path / "demo")]) == 2
    assert "--pace" in capsys.readouterr().out


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit) as refused:
        run(["dance"])
    assert refused.value.code == 2
