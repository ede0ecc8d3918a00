"""Payloads to values and back: every convention we claim to read, and everything a device may send by mistake."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.site import Point
from config.units import Unit
from drivers.base import Flags, Quality, Reading
from drivers.mqtt.inbox import Inbox
from drivers.mqtt.mapping import MAX_PAYLOAD, PointMap, parse_address, source_time
from drivers.mqtt.options import Options, PointOptions

NOW = datetime(2023, 2, 6, 12, tzinfo=UTC)
NOTHING = Flags.PUSHED


def _point(address: str = "a/b#x", **options: object) -> Point:
    return Point(id="hall.room.value", unit=Unit.DEGC, address=address, options=options)


def _inbox(address: str = "a/b#x", **options: object) -> Inbox:
    return Inbox([_point(address, **options)], time=None)


def _one(inbox: Inbox, payload: bytes, *, retained: bool = False, now: datetime = NOW) -> Reading:
    (reading,) = inbox.take("a/b", payload, retained=retained, now=now)
    return reading


def _mapped(**options: object) -> PointMap:
    return PointMap(_point(), PointOptions(**options), None)


@pytest.mark.parametrize(
    ("address", "payload", "value"),
    [
        ("a/b", b"21.5", 21.5),
        ("a/b", b" 21.5\n", 21.5),
        ("a/b", b'"21.5"', 21.5),
        ("a/b", b"-3e1", -30.0),
        ("a/b", b"ON", 1.0),
        ("a/b", b"off", 0.0),
        ("a/b", b"true", 1.0),
        ("a/b#temperature", b'{"temperature": 21.5, "humidity": 40}', 21.5),  # zigbee2mqtt
        ("a/b#temperature", b'{"temperature": "21.5"}', 21.5),
        ("a/b#state", b'{"state": "ON"}', 1.0),
        ("a/b#occupancy", b'{"occupancy": true}', 1.0),
        ("a/b#ENERGY.Power", b'{"Time": "2023-02-06T12:00:00", "ENERGY": {"Power": 45}}', 45.0),  # Tasmota
        ("a/b#aenergy.total", b'{"id": 0, "apower": 8.9, "aenergy": {"total": 6532.128}}', 6532.128),  # Shelly
        ("a/b#phases.1.volts", b'{"phases": [{"volts": 230}, {"volts": 231}]}', 231.0),
        ("a/b#0", b"[7, 8]", 7.0),
        ("a/b#x", b'{"x": 0}', 0.0),
    ],
)
def test_a_value_is_found_in_what_devices_send(address: str, payload: bytes, value: float) -> None:
    reading = _one(_inbox(address), payload)
    assert (reading.value, reading.quality, reading.flags) == (value, Quality.GOOD, NOTHING)
    assert reading.time == reading.received == NOW


@pytest.mark.parametrize(
    ("raw", "flag"),
    [
        (b'{"x": null}', Flags.FAULT),
        (b'{"x": ""}', Flags.FAULT),
        (b'{"x": "unavailable"}', Flags.NOT_A_NUMBER),
        (b'{"x": NaN}', Flags.NOT_A_NUMBER),
        (b'{"x": "nan"}', Flags.NOT_A_NUMBER),
        (b'{"x": Infinity}', Flags.NOT_A_NUMBER),
        (b'{"x": 1e999}', Flags.NOT_A_NUMBER),
        (b'{"x": "1_0"}', Flags.NOT_A_NUMBER),
        (b'{"x": {"y": 1}}', Flags.NOT_A_NUMBER),
        (b'{"x": [1]}', Flags.NOT_A_NUMBER),
        (b'{"x": ' + b"9" * 400 + b"}", Flags.NOT_A_NUMBER),
    ],
)
def test_what_is_no_number_is_bad_and_says_why(raw: bytes, flag: Flags) -> None:
    reading = _one(_inbox(), raw)
    assert (reading.value, reading.quality, reading.flags) == (None, Quality.BAD, flag | Flags.PUSHED)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"garbage", "not_json"),
        (b"\xff\xfe\x00", "not_json"),
        (b'{"x": 1} tail', "not_json"),
        (b"[" * 60_000, "not_json"),  # deeper than any parser goes
        (b'{"x": ' + b"9" * 5000 + b"}", "not_json"),  # more digits than Python converts
        (b'{"x": "' + b"y" * 1_000_000 + b'"}', "too_long"),
        (b'{"y": 1}', "absent"),
        (b"[1, 2]", "absent"),
        (b"5", "absent"),
        (b"null", "absent"),
    ],
)
def test_what_says_nothing_is_counted_and_gives_no_reading(payload: bytes, reason: str) -> None:
    inbox = _inbox()
    assert inbox.take("a/b", payload, retained=False, now=NOW) == []
    assert inbox.dropped == {reason: 1}
    assert inbox.newest == {}


def test_a_payload_that_is_not_text_is_counted() -> None:
    inbox = _inbox("a/b")
    assert inbox.take("a/b", b"\xff", retained=False, now=NOW) == []
    assert inbox.take("a/b", b"1" * (MAX_PAYLOAD + 1), retained=False, now=NOW) == []
    assert inbox.dropped == {"not_text": 1, "too_long": 1}


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_at_all_can_raise(payload: bytes, whole: bool) -> None:  # noqa: FBT001  hypothesis gives it
    inbox = _inbox("a/b" if whole else "a/b#x.0.y", time="t")
    for reading in inbox.take("a/b", payload, retained=False, now=NOW):
        assert (reading.value is None) == (reading.quality is Quality.BAD)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "t", "0"]), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_no_document_at_all_can_raise(value: object, time: object) -> None:
    inbox = _inbox("a/b#x", time="t", values={"on": 1})
    for reading in inbox.take("a/b", json.dumps({"x": value, "t": time}).encode(), retained=False, now=NOW):
        assert reading.time.tzinfo is UTC
        assert (reading.value is None) == (reading.quality is Quality.BAD)


def test_scale_offset_and_words_are_applied_in_that_order() -> None:
    assert _mapped(scale=0.1).value(215)[0] == pytest.approx(21.5)
    assert _mapped(scale=5 / 9, offset=-160 / 9).value("68")[0] == pytest.approx(20.0)
    heat = _mapped(values={"heat": 1, "cool": 2, "off": 0}, scale=10)
    assert [heat.value(word)[0] for word in ("heat", "cool", "off", "OFF", "3")] == [10, 20, 0, 0, 30]
    assert heat.value("auto") == (None, Flags.NOT_A_NUMBER)
    assert _mapped(values={"true": 7}).value(raw=True)[0] == 7


@given(
    value=st.floats(-1e4, 1e4),
    scale=st.floats(0.001, 1000) | st.floats(-1000, -0.001),
    offset=st.floats(-1000, 1000),
)
def test_a_command_read_back_is_the_value_commanded(value: float, scale: float, offset: float) -> None:
    mapped = _mapped(scale=scale, offset=offset)
    back, _ = mapped.value(mapped.command(value))
    assert back == pytest.approx(value, abs=abs(scale) * 1e-6 + 1e-6)


def test_commands_follow_their_template() -> None:
    assert _mapped().command(40.0) == "40"
    assert _mapped().command(21.5) == "21.5"
    assert _mapped(command='{"level": {value}}').command(40.0) == '{"level": 40}'
    assert (
        _mapped(command='{"b": {value}, "again": {value}}', scale=100 / 254).command(100) == '{"b": 254, "again": 254}'
    )
    assert _mapped(command='{"state": "{value}"}', values={"ON": 1, "OFF": 0}).command(1) == '{"state": "ON"}'


def test_addresses_name_a_topic_and_a_way_into_the_json() -> None:
    assert parse_address("a/b") == ("a/b", ())
    assert parse_address("a/b#x.0.y") == ("a/b", ("x", "0", "y"))
    assert parse_address("shelly/status/switch:0#aenergy.total") == ("shelly/status/switch:0", ("aenergy", "total"))


@pytest.mark.parametrize("address", ["#x", "a/+/b", "a/b#", "a/b#x..y", "a/b#.x", "a\x00b"])
def test_a_bad_address_is_refused_with_the_cure(address: str) -> None:
    with pytest.raises(ValueError, match="such as"):
        parse_address(address)


# Times


@pytest.mark.parametrize(
    "raw", ["2023-02-06T11:59:00Z", "2023-02-06T12:59:00+01:00", NOW.timestamp() - 60, (NOW.timestamp() - 60) * 1000]
)
def test_the_time_in_a_message_is_when_the_value_was_true(raw: object) -> None:
    reading = _one(_inbox(time="t"), json.dumps({"x": 1, "t": raw}).encode())
    assert reading.time == NOW - timedelta(minutes=1)
    assert reading.received == NOW


@pytest.mark.parametrize(
    "raw", ["noon", "2023-02-06T11:59:00", None, True, 1e300, -1e300, [], "1970-01-01T00:01:00Z", 7]
)
def test_an_unbelievable_time_is_replaced_by_arrival_and_counted(raw: object) -> None:
    inbox = _inbox(time="t")
    assert _one(inbox, json.dumps({"x": 1, "t": raw}).encode()).time == NOW
    assert inbox.dropped == {"bad_time": 1}


def test_a_time_in_the_future_is_replaced_and_flagged() -> None:
    reading = _one(_inbox(time="t"), b'{"x": 1, "t": "2023-02-06T12:05:00Z"}')
    assert (reading.time, reading.quality) == (NOW, Quality.GOOD)
    assert Flags.FUTURE_TIME in reading.flags


def test_the_device_option_names_the_time_of_points_that_name_none() -> None:
    inbox = Inbox([_point("a/b#x"), _point("a/b#y", time="u")], time="t")
    times = [r.time.minute for r in inbox.take(
        "a/b",
        b'{"x": 1, "y": 2, "t": "2023-02-06T11:10:00Z", "u": "2023-02-06T11:20:00Z"}',
        retained=False,
        now=NOW,
    )]  # fmt: skip
    assert times == [10, 20]


def test_the_same_source_time_twice_is_one_reading() -> None:
    inbox, payload = _inbox(time="t"), b'{"x": 1, "t": "2023-02-06T11:59:00Z"}'
    _one(inbox, payload)
    assert inbox.take("a/b", payload, retained=False, now=NOW) == []
    assert inbox.dropped == {"duplicate": 1}


def test_without_a_source_time_equal_values_are_news_each_time() -> None:
    inbox = _inbox()
    _one(inbox, b'{"x": 1}')
    later = NOW + timedelta(minutes=1)
    assert _one(inbox, b'{"x": 1}', now=later).time == later


def test_what_the_broker_repeats_keeps_the_time_it_had() -> None:
    """After a reconnection: received anew, true since it was first heard."""
    inbox, later = _inbox(), NOW + timedelta(minutes=10)
    _one(inbox, b'{"x": 1}')
    again = _one(inbox, b'{"x": 1}', retained=True, now=later)
    assert (again.time, again.received) == (NOW, later)
    changed = _one(inbox, b'{"x": 2}', retained=True, now=later)
    assert changed.time == later


def test_a_late_message_is_history_not_news() -> None:
    inbox = _inbox(time="t")
    _one(inbox, b'{"x": 2, "t": "2023-02-06T11:59:00Z"}')
    assert _one(inbox, b'{"x": 1, "t": "2023-02-06T11:50:00Z"}').value == 1
    assert inbox.newest["hall.room.value"].value == 2


def test_one_message_gives_the_readings_of_all_its_points_in_order() -> None:
    points = [
        Point(id=f"hall.room.p{n}", unit=Unit.KW, address=address)
        for n, address in enumerate(["a/b#y", "c/d", "a/b#x.k", "a/b"])
    ]
    inbox = Inbox(points, time=None)
    assert inbox.topics == {"a/b": 1, "c/d": 1}
    readings = inbox.take("a/b", b'{"x": {"k": 1}, "y": 2}', retained=False, now=NOW)
    assert [(r.point[-2:], r.value) for r in readings] == [("p0", 2), ("p2", 1), ("p3", None)]
    assert [r.value for r in inbox.take("c/d", b"7", retained=False, now=NOW)] == [7]
    assert inbox.take("e/f", b"7", retained=False, now=NOW) == []


def test_a_confirming_topic_is_a_second_source() -> None:
    inbox = _inbox(command_topic="a/set", confirm="c/result#POWER")
    assert inbox.topics == {"a/b": 1, "c/result": 1}
    (reading,) = inbox.take("c/result", b'{"POWER": "ON"}', retained=False, now=NOW)
    assert reading.value == 1


# What people write


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"host": "broker.example"}, "allow_anonymous"),
        ({"host": "10.0.0.5", "tls": {}}, "allow_anonymous"),
        ({"host": "127.0.0.1", "password_env": "SECRET"}, "needs a username"),
        ({"host": "h", "username": "u", "password_env": "A", "password_file": "b"}, "not both"),
        ({"host": "10.0.0.5", "username": "u", "password_env": "A"}, "unencrypted; add tls"),
        ({"host": "10.0.0.5", "username": "u", "password_file": "b"}, "insecure: true"),
        ({"host": "h", "username": "u", "password": "open secret"}, "Extra inputs"),
        ({"host": "localhost", "tls": {"cert_file": "c.pem"}}, "belong together"),
        ({"host": "localhost", "will": {"topic": "a/#"}}, "without \\+ and #"),
        ({"host": "localhost", "keepalive": 0}, "greater than or equal to 10"),
    ],
)
def test_unsafe_or_contradictory_options_are_refused(written: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Options.model_validate(written)


@pytest.mark.parametrize(
    "written",
    [
        {"host": "127.0.0.1"},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "broker.example", "username": "u", "password_file": "secret", "tls": {}},
        {"host": "127.0.0.1", "username": "u", "password_env": "SECRET"},
        {"host": "10.0.0.5", "username": "u", "password_env": "SECRET", "insecure": True},
        {"host": "broker.example", "tls": {"cert_file": "c.pem", "key_file": "k.pem"}},
        {"host": "broker.example", "allow_anonymous": True},
    ],
)
def test_sound_options_are_taken(written: dict[str, object]) -> None:
    assert Options.model_validate(written).host == written["host"]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"scale": 0}, "scale"),
        ({"command_topic": "a/set", "command": "on"}, "{value}"),
        ({"relinquish": "null"}, "command_topic"),
        ({"command_topic": ""}, "not a topic"),
        ({"qos": 2}, "0 or 1"),
    ],
)
def test_point_options_that_cannot_work_are_refused(written: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PointOptions.model_validate(written)


def test_devices_of_one_broker_share_its_settings_whatever_else_they_say() -> None:
    plain = Options(host="localhost", port=47883)
    other = Options(host="localhost", port=47883, time="t", availability={"topic": "a/b"})
    assert plain.broker == other.broker
    assert hash(plain.broker) == hash(other.broker)
    assert plain.broker != Options(host="localhost", port=47883, identifier="guard").broker


def test_a_time_is_never_read_from_a_truth_value() -> None:
    assert source_time(True) is None
