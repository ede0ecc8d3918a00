"""Broken site files: each says in its first line what must be found, where, and with which cure."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.source import parse
from controller.check import check_site, check_text, format_findings

HERE = Path(__file__).parent
EXAMPLES = HERE.parent / "config" / "examples"
BROKEN = sorted((HERE / "broken_sites").glob("*.yaml"))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_without_mistakes(path: Path) -> None:
    site, findings = check_site(path)
    assert not findings, format_findings(findings)
    assert site is not None


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_file_names_line_path_and_cure(path: Path) -> None:
    head = path.read_text(encoding="utf-8").splitlines()[0]
    place, text, cure = (part.strip() for part in head.removeprefix("# expect:").split("|"))
    line, where = place.split()
    site, findings = check_site(path)
    assert site is None
    match = [f for f in findings if (f.line, f.path or "-") == (int(line), where)]
    assert [f for f in match if text in f.text and cure in f.cure], format_findings(findings)
    assert len(findings) <= 3, "one mistake is not to be reported many times over"


def test_there_are_forty_ways_to_go_wrong() -> None:
    assert len(BROKEN) >= 40


def test_every_mistake_is_found_at_once() -> None:
    text = (EXAMPLES / "first_site.yaml").read_text(encoding="utf-8")
    for right, wrong in (
        ("timezone: Europe/London", "timezone: Mars"),
        ("emitter_kw: 18", "emiter_kw: 18"),
        ("heat_kw: 40", "heat_kw: lots"),
        ("unit: degC, address: 'analog-input,1'", "unit: kW, address: 'analog-imput,1'"),
        ("instance: 2001", "instance: many"),
        ("password_file: mqtt_password.txt", "password: hunter2"),
        ("point: library.supply.gas", "point: library.supply.oil"),
        ("start: '00:30'", "start: 30"),
        ("GB-ENG", "GB-XYZ"),
    ):
        assert right in text
        text = text.replace(right, wrong, 1)
    site, findings = check_text(text)
    assert site is None
    assert {f.path for f in findings} >= {
        "timezone",
        "buildings[0].zones[0].emiter_kw",
        "buildings[0].plant[0].heat_kw",
        "devices[0].points[0].unit",
        "devices[0].points[0].address",
        "devices[0].options.instance",
        "devices[1].options.password",
        "meters[0].point",
        "tariffs[1].periods[0].start",
        "calendar.holidays",
    }
    assert [f.line for f in findings] == sorted(f.line for f in findings)
    assert "hunter2" not in format_findings(findings) + str([found.as_json() for found in findings])


def test_findings_are_readable_by_people_and_machines() -> None:
    path = HERE / "broken_sites" / "unknown_key.yaml"
    _, findings = check_site(path)
    assert format_findings(findings).splitlines()[0].startswith(f"{path}:12:5: buildings[0].floor_area: unknown key")
    assert json.loads(json.dumps(findings[0].as_json())) == {
        "file": str(path),
        "line": 12,
        "column": 5,
        "path": "buildings[0].floor_area",
        "text": "unknown key",
        "cure": "write 'floor_area_m2'",
    }
    assert format_findings([]) == "No mistakes found."


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b"a: \x00b", "id: ä".encode("latin-1")])
def test_what_is_no_text_is_refused_in_words(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(raw)
    site, findings = check_site(path)
    assert site is None
    assert all(f.cure for f in findings)
    assert findings


def test_a_missing_file_is_refused_in_words(tmp_path: Path) -> None:
    _, findings = check_site(tmp_path / "nowhere.yaml")
    assert "cannot be read" in findings[0].text


def test_aliases_that_explode_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    _, findings = check_text("\n".join(lines))
    assert any("without end" in f.text for f in findings)


_TEXT = (EXAMPLES / "first_site.yaml").read_text(encoding="utf-8")
_LINES = _TEXT.splitlines()
_WORDS = st.sampled_from(
    [*"-~=%@`'\"{}[]|>", "", "-1", "1e999", ".nan", "true", "[[]]", "{a: {b: c}}", "9" * 5000, "0x", "*x", "&x 1"]
) | st.sampled_from(["!!binary abc", "? x", "- -", "2023-99-99", "\u2028", "<<", ": ", "#"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    line=st.integers(0, len(_LINES) - 1),
    word=_WORDS | st.text(max_size=12),
    at=st.integers(0, 120),
    cut=st.integers(0, 30),
)
def test_any_damage_to_a_file_is_answered_with_a_place_and_a_cure(line: int, word: str, at: int, cut: int) -> None:
    lines = list(_LINES)
    lines[line] = lines[line][:at] + word + lines[line][at + cut :]
    site, findings = check_text("\n".join(lines))
    assert (site is None) == bool(findings)
    for found in findings:
        assert found.line >= 1
        assert found.column >= 1
        assert found.text
        assert found.cure


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def _places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from _places(child, (*path, key))


_DATA = parse(_TEXT, "site.yaml")[0].data
_PLACES = list(_places(_DATA))[1:]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(_PLACES), value=_VALUES)
def test_any_value_in_any_place_is_answered_with_a_place_and_a_cure(
    place: tuple[str | int, ...], value: object
) -> None:
    data = deepcopy(_DATA)
    target = data
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    # JSON is YAML, except that it has no NaN, no infinity and escapes what YAML allows
    _, findings = check_text(json.dumps(data).replace("NaN", ".nan").replace("Infinity", ".inf"))
    assert all(found.text and found.cure for found in findings)
