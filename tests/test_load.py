"""From the text of a site file to the Site: positions, YAML 1.2, secrets, and a refusal that says everything."""

from datetime import time, timedelta
from pathlib import Path

import pytest

from config.load import SiteErrors, draft_of, load_site, read_draft
from config.source import dotted, parse

EXAMPLES = Path(__file__).parents[1] / "config" / "examples"
TEXT = (EXAMPLES / "first_site.yaml").read_text(encoding="utf-8")


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_town_hall_is_read_whole() -> None:
    site = load_site(EXAMPLES / "townhall.yaml")
    assert len(site.points) == 80
    assert len(site.buildings[0].zones) == 10
    assert [device.driver for device in site.devices] == ["bacnet"] * 4 + ["mqtt"] * 3
    assert site.tariffs[0].periods[0].start == time(0, 30)
    assert site.control.plan_every == timedelta(minutes=15)


def test_a_refusal_holds_every_finding() -> None:
    with pytest.raises(SiteErrors, match=r"hour_24.yaml:\d+:\d+: .*end: '24:00' is not a local time") as caught:
        load_site(Path(__file__).parent / "broken_sites" / "hour_24.yaml")
    assert len(caught.value.findings) == 1
    draft = read_draft(Path(__file__).parent / "broken_sites" / "hour_24.yaml")
    assert draft.site is None
    assert list(draft.findings) == caught.value.findings


def test_yaml_is_read_by_version_1_2() -> None:
    source, findings = parse("a: 17:30\nb: off\nc: 012\nd: 0o17\ne: 1_000\nf: ~\ng: .inf\nh: 2023-01-02\ni: no\n", "x")
    assert not findings
    assert source.data == {
        "a": "17:30",
        "b": "off",
        "c": 12,
        "d": 15,
        "e": 1000,
        "f": None,
        "g": float("inf"),
        "h": "2023-01-02",
        "i": "no",
    }


def test_positions_point_at_the_key() -> None:
    source, _ = parse("a:\n  - b: 1\n    c: {d: 2}\n", "x")
    assert source.position(("a", 0, "c", "d")) == (3, 9)
    assert source.position(("a", 0)) == (2, 5)
    assert source.position(("a", 0, "c", "absent")) == (3, 5)  # the nearest part around it
    assert source.position(()) == (1, 1)
    assert source.get(("a", 0, "c", "d")) == 2
    assert source.get(("a", 7, "c")) is None
    assert dotted(("a", 0, "c", "d")) == "a[0].c.d"


def test_an_alias_stands_for_what_it_names() -> None:
    text = changed("unoccupied: {low: 12, high: 26}", "unoccupied: &night {low: 12, high: 26}").replace(
        "    plant:\n",
        "      - {id: hall, area_m2: 20, comfort: {occupied: {low: 20, high: 23}, unoccupied: *night}}\n    plant:\n",
    )
    site = draft_of(text).site
    assert site is not None
    assert site.buildings[0].zones[1].comfort.unoccupied == site.buildings[0].zones[0].comfort.unoccupied


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("PT45M", timedelta(minutes=45)),
        ("45 min", timedelta(minutes=45)),
        ("'90s'", timedelta(seconds=90)),
        ("1.5 h", timedelta(minutes=90)),
        ("2 d", timedelta(days=2)),
        ("P1D", timedelta(days=1)),
    ],
)
def test_durations_as_people_write_them(written: str, meant: timedelta) -> None:
    site = draft_of(changed("max_age: 45 min", f"max_age: {written}")).site
    assert site is not None
    assert site.points["library.supply.gas"].max_age == meant


@pytest.mark.parametrize("written", ["45", "'45'", "45 minutes", "-PT5M", "PT0S", "soon", "true", "[1]", "P", "-"])
def test_durations_that_nobody_can_read_are_refused(written: str) -> None:
    findings = draft_of(changed("max_age: 45 min", f"max_age: {written}")).findings
    assert [found.path for found in findings] == ["devices[1].points[0].max_age"]
    assert findings[0].cure


@pytest.mark.parametrize("written", ["8", "8:00", "'08:00Z'", "'24:00'", "noon", "480", "'08.00'", "08:60"])
def test_times_that_nobody_can_read_are_refused(written: str) -> None:
    findings = draft_of(changed("start: '09:00'", f"start: {written}")).findings
    assert [found.path for found in findings] == ["buildings[0].zones[0].occupancy[0].start"]
    assert "'08:30'" in findings[0].cure


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("password: hunter2", "password"),
        ("api_key: hunter2", "api_key"),
        ("tls: {key_passphrase: hunter2}", "tls.key_passphrase"),
        ("url: 'mqtt://me:hunter2@broker'", "url"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_never_repeated(options: str, path: str) -> None:
    findings = draft_of(changed("password_file: mqtt_password.txt, tls: {}", options)).findings
    assert [found.path for found in findings] == [f"devices[1].options.{path}"]
    assert "hunter2" not in "".join(map(str, findings))


def test_names_of_files_and_variables_that_hold_secrets_are_fine() -> None:
    assert draft_of(changed("password_file: mqtt_password.txt", "password_env: MQTT_PASSWORD")).site is not None


def test_a_malformed_part_hides_no_mistake_elsewhere() -> None:
    text = changed("area_m2: 180", "area_m2: -1").replace("library.boiler.enable", "library.boyler.enable")
    assert [found.path for found in draft_of(text).findings] == [
        "buildings[0].zones[0].area_m2",
        "devices[0].points[2].id",
    ]


def test_a_malformed_part_makes_no_mistakes_of_its_own() -> None:
    text = changed("id: reading_room", "id: Reading Room").replace("0.85}", "0.85, serves: [reading_room]}")
    assert [found.path for found in draft_of(text).findings] == ["buildings[0].zones[0].id"]
