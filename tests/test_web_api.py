"""The interface for programs, and what the shield in front of everything refuses."""

import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fake_backend import FakeBackend
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.web.api import OverrideBody, checked, problem
from controller.web.app import make_app
from controller.web.encode import plain
from controller.web.pages import Renderer
from controller.web.shield import BODY_LIMIT
from controller.web.view import BadRequest
from drivers.clock import Clock

NOON = datetime(2023, 2, 6, 13, 12, tzinfo=UTC)
POINT = "/api/v1/points/townhall.hall.heating_setpoint"
LATER = "2023-02-06T17:00:00Z"
GOOD = {"value": 21.5, "until": LATER, "reason": "choir"}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(Clock(NOON))


@pytest.fixture
async def client(backend: FakeBackend, renderer: Renderer) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(make_app(backend, clock=Clock(NOON), renderer=renderer))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as one:
        yield one


@pytest.mark.parametrize("path", ["state", "points", "plan", "alarms", "health"])
async def test_a_question_is_answered_in_strict_json(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/{path}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    json.loads(answer.text, parse_constant=pytest.fail)  # NaN is no JSON


async def test_state_carries_units_times_and_words(client: httpx.AsyncClient) -> None:
    state = (await client.get("/api/v1/state")).json()
    assert state["time"] == "2023-02-06T13:12:00Z"
    assert state["control"]["word"] == "Optimising"
    assert state["comfortable"] == 9
    hall = next(zone for zone in state["zones"] if zone["id"] == "hall")
    assert hall["age"] == 24.0
    assert hall["hold"]["holder"] == "plan"


async def test_the_plan_before_the_first_is_null(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    backend.planless = True
    assert (await client.get("/api/v1/plan")).json() is None


async def test_a_plan_keeps_its_gaps_as_null(client: httpx.AsyncClient) -> None:
    plan = (await client.get("/api/v1/plan")).json()
    assert plan["price"]["step"] == 900.0
    assert None in plan["zones"][0]["actual"]["values"]


async def test_a_point_shows_its_priority_array(client: httpx.AsyncClient) -> None:
    point = (await client.get("/api/v1/points/townhall.registry.heating_setpoint")).json()
    assert point["slots"][0] == {"number": 8, "value": 22.0, "text": "Operator at the panel"}
    missing = await client.get("/api/v1/points/townhall.attic.setpoint")
    assert missing.status_code == 404
    assert "townhall.attic.setpoint" in missing.json()["error"]


async def test_readings_default_to_the_last_day_and_take_a_window(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    point = "townhall.hall.temperature"
    answer = await client.get("/api/v1/readings", params={"point": point})
    assert answer.json()["rows"][1] == ["2023-02-05T13:13:00Z", None, "bad"]
    await client.get(
        "/api/v1/readings",
        params={"point": point, "from": "2023-02-06T01:00:00+01:00", "to": LATER, "step": "PT30M"},
    )
    assert backend.calls == [
        ("readings", point, NOON - timedelta(days=1), NOON, None),
        ("readings", point, NOON.replace(hour=0, minute=0), NOON.replace(hour=17, minute=0), timedelta(minutes=30)),
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({}, "point: name one"),
        ({"point": "a.b.c", "from": "yesterday"}, "2023-02-06T00:00:00Z"),
        ({"point": "a.b.c", "from": "2023-02-06T00:00:00"}, "with their zone"),
        ({"point": "a.b.c", "from": LATER}, "before to"),
        ({"point": "a.b.c", "step": "PT0S"}, "at least one second"),
        ({"point": "a.b.c", "step": "-PT5M"}, "at least one second"),
        ({"point": "a.b.c", "step": "P99999999999D"}, "a duration"),
        ({"point": "a.b.c", "from": "2021-02-06T00:00:00Z"}, "longer step"),
        ({"point": "a.b.c", "from": "2021-02-06T00:00:00Z", "step": "PT1S"}, "longer step"),
        ({"point": "a.b.c", "from": "0001-01-01T00:00:00+23:59"}, "from"),
    ],
)
async def test_a_window_that_makes_no_sense_is_refused_with_its_cure(
    client: httpx.AsyncClient, backend: FakeBackend, query: dict[str, str], said: str
) -> None:
    answer = await client.get("/api/v1/readings", params=query)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert backend.calls == []


async def test_an_override_holds_and_can_be_ended(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    answer = await client.post(f"{POINT}/override", json=GOOD)
    assert answer.status_code == 200
    assert answer.json()["hold"]["holder"] == "override"
    ended = await client.delete(f"{POINT}/override")
    assert ended.json()["hold"]["holder"] == "plan"
    assert (await client.delete(f"{POINT}/override")).status_code == 404
    point = "townhall.hall.heating_setpoint"
    assert backend.calls == [("override", point, 21.5, NOON.replace(hour=17, minute=0), "choir"), ("cancel", point)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps(GOOD | {"value": float("nan")}), "value"),
        (json.dumps(GOOD | {"value": float("inf")}), "value"),
        (json.dumps(GOOD | {"value": "21.5"}), "value"),
        (json.dumps(GOOD | {"value": True}), "value"),
        (json.dumps(GOOD | {"value": None}), "value"),
        (json.dumps(GOOD | {"value": [21]}), "value"),
        (json.dumps(GOOD).replace("21.5", "1e400"), "value"),
        (json.dumps(GOOD).replace("21.5", "9" * 6000), "out of range"),
        (json.dumps(GOOD | {"value": 95}), "12 to 23.5"),
        (json.dumps({"value": 21.5, "reason": "x"}), "until"),
        (json.dumps({"value": 21.5, "until": LATER}), "reason"),
        (json.dumps(GOOD | {"reason": "   "}), "reason"),
        (json.dumps(GOOD | {"reason": "x" * 301}), "reason"),
        (json.dumps(GOOD | {"until": "2023-02-06T17:00:00"}), "with its zone"),
        (json.dumps(GOOD | {"until": "soon"}), "until"),
        (json.dumps(GOOD | {"until": "2023-02-06T13:12:00Z"}), "has passed"),
        (json.dumps(GOOD | {"until": "2023-02-07T13:13:00Z"}), "at most 24 h"),
        (json.dumps(GOOD | {"until": "9999-12-31T23:59:59-23:59"}), "at most 24 h"),
        (json.dumps(GOOD | {"until": "0001-01-01T00:00:00+23:59"}), "until"),
        (json.dumps(GOOD | {"priority": 1}), "priority: unknown; leave it out"),
        ("{", "one JSON object"),
        ("", "one JSON object"),
        ("[" * 5000, "one JSON object"),
        ("\xff", "one JSON object"),
    ],
)
async def test_a_bad_override_is_refused_with_its_cure_and_never_reaches_the_controller(
    client: httpx.AsyncClient, backend: FakeBackend, body: str, said: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post(f"{POINT}/override", content=body.encode("latin-1"), headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert backend.calls == []


async def test_an_override_in_another_content_type_is_refused(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    answer = await client.post(f"{POINT}/override", content=json.dumps(GOOD), headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]
    assert backend.calls == []


async def test_stop_needs_no_body_and_takes_a_reason(client: httpx.AsyncClient, backend: FakeBackend) -> None:
    assert (await client.post("/api/v1/stop")).json()["stopped"] is True
    await client.post("/api/v1/stop", json={"reason": "fire drill"})
    assert (await client.post("/api/v1/stop", json={"reason": 3})).status_code == 400
    assert (await client.post("/api/v1/resume")).json()["stopped"] is False
    assert backend.calls == [("stop", "stopped through the interface"), ("stop", "fire drill"), ("resume",)]


async def test_an_unknown_address_and_method_answer_in_json(client: httpx.AsyncClient) -> None:
    for method, path, status in (("GET", "/api/v1/attic", 404), ("PUT", "/api/v1/state", 405)):
        answer = await client.request(method, path)
        assert answer.status_code == status
        assert path in answer.json()["error"]


async def test_the_description_names_every_route(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/api/v1/openapi.json")).json()["paths"]
    assert sorted(path.removeprefix("/api/v1/") for path in paths) == sorted(
        ["state", "points", "points/{point}", "plan", "alarms", "health", "readings", "points/{point}/override",
         "stop", "resume", "events"]
    )  # fmt: skip
    assert "requestBody" in paths["/api/v1/points/{point}/override"]["post"]


@pytest.mark.parametrize("path", ["/", "/api/v1/state", "/attic", "/metrics", "/static/app.css"])
async def test_every_answer_carries_the_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "cache-control" in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8080", "192.168.1.9", "", "127.0.0.1:x"]
)
async def test_a_foreign_host_name_is_refused(client: httpx.AsyncClient, backend: FakeBackend, host: str) -> None:
    answer = await client.post("/api/v1/stop", headers={"host": host})
    assert answer.status_code == 400
    assert "127.0.0.1" in answer.text
    assert backend.calls == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:8080"])
async def test_this_machines_own_names_are_answered(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:8080"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),
        ({"origin": "null"}, False),
        ({"origin": "ftp://127.0.0.1:8080"}, False),
    ],
)
async def test_a_command_from_another_site_is_refused(
    client: httpx.AsyncClient, backend: FakeBackend, method: str, headers: dict[str, str], *, passes: bool
) -> None:
    await backend.override("townhall.hall.heating_setpoint", 21.0, NOON + timedelta(hours=1), "x")
    backend.calls.clear()
    path = "/api/v1/resume" if method == "POST" else f"{POINT}/override"
    answer = await client.request(method, path, headers=headers)
    assert (answer.status_code == 200) is passes
    assert bool(backend.calls) is passes
    assert passes or answer.status_code == 403


async def test_a_body_beyond_a_megabyte_is_refused_by_its_length_and_by_its_size(
    client: httpx.AsyncClient, backend: FakeBackend
) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield b" " * 100_000

    headers = {"content-type": "application/json"}
    for content in (b" " * (BODY_LIMIT + 1), drip()):
        answer = await client.post(f"{POINT}/override", content=content, headers=headers)
        assert answer.status_code == 413
        assert answer.headers["x-content-type-options"] == "nosniff"
    liar = await client.post("/api/v1/resume", headers={"content-length": "9" * 30})
    assert liar.status_code == 413
    assert backend.calls == []


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(value=ODD, until=ODD | st.just(LATER), reason=ODD | st.just("choir"))
def test_whatever_is_sent_only_a_finite_number_with_an_end_within_a_day_gets_through(
    value: object, until: object, reason: object
) -> None:
    raw = json.dumps({"value": value, "until": until, "reason": reason})
    body, refusal = None, ""
    try:
        body = checked(OverrideBody.model_validate_json(raw), NOON)
    except ValidationError as err:
        refusal = str(problem(err))
    except BadRequest as err:
        refusal = str(err)
    if body is None:
        assert refusal
    else:
        assert math.isfinite(body.value)
        assert timedelta(0) < body.until - NOON <= timedelta(hours=24)
        assert 1 <= len(body.reason.strip()) <= 300


@given(raw=st.binary(max_size=40))
def test_any_bytes_are_answered_in_words(raw: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        OverrideBody.model_validate_json(raw)
    assert "; " in str(problem(caught.value))


def test_what_has_no_json_shape_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError, match="set has no JSON shape"):
        plain({1, 2})
