"""The house rules that a machine can check: what is tracked, locked, named and documented."""

import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOSTS = re.compile(
    "|".join(("pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs", "deb" + r"\.debian", "crates" + r"\.io"))
)
MACHINE_PATH = re.compile(r"/(?:home|Users)/[a-z]|/" + "root/")
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----|(?:password|token|secret)\s*[:=]\s*['\"][^'\"{<$]{6,}['\"]", re.IGNORECASE
)
REMOTE = re.compile(r"(?:src|href)=[\"']https?://|url\(\s*[\"']?https?://|@import\s+[\"']https?://")
LONGEST = 500  # lines


def tracked(*patterns: str) -> list[Path]:
    """Files git knows, that still exist."""
    names = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in names.splitlines() if (path := ROOT / name).is_file()]


def texts(*patterns: str) -> list[tuple[Path, str]]:
    found = []
    for path in tracked(*patterns):
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("rule", [HOSTS, MACHINE_PATH], ids=["registry host", "path of one machine"])
def test_no_tracked_file_names_a(rule: re.Pattern[str]) -> None:
    assert [f"{path.relative_to(ROOT)}: {hit[0]}" for path, text in texts() if (hit := rule.search(text))] == []


def test_no_secret_is_tracked() -> None:
    product = texts("*.py", "*.yaml", "*.toml", "*.json", ":!tests")
    assert [f"{path.relative_to(ROOT)}: {hit[0]}" for path, text in product if (hit := SECRET.search(text))] == []


def test_pages_ask_nobody_else_for_anything() -> None:
    pages = texts("controller/web")
    assert pages
    assert [f"{path.name}: {hit[0]}" for path, text in pages if (hit := REMOTE.search(text))] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    packages = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert len(packages) > 40
    assert [p.splitlines()[0] for p in packages if "==" not in p or "--hash=sha256:" not in p] == []


def test_the_tests_lock_pins_what_the_program_s_lock_pins() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ \\]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))

    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_no_module_is_longer_than_a_reader_s_patience() -> None:
    sizes = {path.relative_to(ROOT): text.count("\n") for path, text in texts("*.py", ":!tests")}
    assert {str(path): lines for path, lines in sizes.items() if lines > LONGEST} == {}


def test_packages_do_not_re_export() -> None:
    assert [str(path.relative_to(ROOT)) for path, text in texts("**/__init__.py", ":!tests") if text.strip()] == []


def test_every_link_in_the_documents_leads_somewhere() -> None:
    links = [(path, link) for path, text in texts("*.md") for link in re.findall(r"\]\(([^)#]+)\)", text)]
    local = [(path, link) for path, link in links if "://" not in link]
    assert local
    assert [f"{path.relative_to(ROOT)}: {link}" for path, link in local if not (path.parent / link).exists()] == []


def test_every_package_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(project["tool"]["setuptools"]["packages"])
    tops = ("config", "drivers", "optimiser", "controller", "site_sims")
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in tracked("*/__init__.py", "*/*/__init__.py")}
    assert {name for name in found if name.split(".")[0] in tops} == listed


def test_each_bench_in_the_list_is_a_module() -> None:
    from bench.__main__ import BENCHES

    assert [name for name in BENCHES if not (ROOT / "bench" / f"{name}.py").is_file()] == []


def test_options_belong_to_one_bench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import __main__ as bench

    ran: list[list[str]] = []
    monkeypatch.setattr(
        bench.subprocess, "run", lambda told, **_: ran.append(told[2:]) or SimpleNamespace(returncode=0)
    )
    assert bench.main(["outage", "--minutes", "1"]) == 0
    assert ran == [["bench.outage", "--minutes", "1"]]
    assert bench.main(["store", "outage", "--minutes", "1"]) == 2
    assert bench.main(["nothing"]) == 2
    assert len(ran) == 1
    assert "options belong to one bench" in capsys.readouterr().err
