"""The HTTP interface for programs, `/api/v1`: what is, what was, and the few things one may ask for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from config.base import Frozen
from controller.web.encode import reply
from controller.web.events import EventStream, Streams
from controller.web.view import Backend, BadRequest
from drivers.clock import Clock

LONGEST_OVERRIDE = timedelta(hours=24)
MOST_ROWS = 20_000
_Text = Annotated[str, Field(min_length=1, max_length=300)]
_TIME: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)
_STEP: TypeAdapter[timedelta] = TypeAdapter(timedelta)
CURES = {
    "value": 'send a finite number, such as "value": 20.5',
    "until": 'send a time with its zone, such as "until": "2023-02-06T17:00:00Z", at most 24 h ahead',
    "reason": 'say why in 1 to 300 characters, such as "reason": "evening meeting"',
}


class OverrideBody(Frozen):
    """What `POST points/{id}/override` takes; text, NaN and infinity are not numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True, str_strip_whitespace=True)
    value: float
    until: AwareDatetime
    reason: _Text


class StopBody(Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, str_strip_whitespace=True)
    reason: _Text = "stopped through the interface"


def checked(body: OverrideBody, now: datetime) -> OverrideBody:
    """The same body if its end lies within the next 24 h; raises BadRequest."""
    if body.until <= now:
        raise BadRequest(f"until: {body.until:%d %B %Y %H:%M %Z} has passed; {CURES['until']}")
    if body.until - now > LONGEST_OVERRIDE:
        raise BadRequest("until: an override lasts at most 24 h; send an earlier time and renew it if still needed")
    return body


def problem(err: ValidationError) -> BadRequest:
    """All that is wrong with a body, each with its cure."""
    texts = []
    for item in err.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"])
        if item["type"] == "json_invalid":
            texts.append(f"{item['msg']}; send one JSON object")
        elif item["type"] == "extra_forbidden":
            texts.append(f"{where[:60]}: unknown; leave it out")
        else:
            texts.append(f"{where}: {item['msg'][:1].lower()}{item['msg'][1:]}; {CURES.get(where, 'see openapi.json')}")
    return BadRequest(". ".join(texts))


def _window(start: str | None, end: str | None, step: str | None, now: datetime) -> tuple[datetime, datetime, Any]:
    try:
        last = _TIME.validate_python(end) if end else now
        first = _TIME.validate_python(start) if start else last - timedelta(hours=24)
        every = _STEP.validate_python(step) if step else None
    except (ValidationError, OverflowError):
        raise BadRequest(
            "from, to and step: send times with their zone (2023-02-06T00:00:00Z) and a duration (PT30M)"
        ) from None
    if first >= last:
        raise BadRequest("from: it must be before to")
    if every is not None and every < timedelta(seconds=1):
        raise BadRequest("step: send at least one second, such as PT15M")
    if (last - first) / (every or timedelta(minutes=1)) > MOST_ROWS:
        raise BadRequest(f"from: more than {MOST_ROWS} rows; ask for a shorter time or a longer step, such as PT30M")
    return first.astimezone(UTC), last.astimezone(UTC), every


def _schema(model: type[Frozen]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": model.model_json_schema()}}}}


async def _json_body(request: Request) -> bytes:
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise BadRequest("content-type: send application/json")
    return await request.body()


def make_api(backend: Backend, streams: Streams, *, clock: Clock) -> APIRouter:
    """The routes; every answer is JSON, an error is {"error": what is wrong and what to send}."""
    api = APIRouter(prefix="/api/v1")
    _add_questions(api, backend, clock)
    _add_commands(api, backend, clock)

    @api.get("/events", response_class=Response)
    async def events() -> Response:
        return EventStream(streams)

    return api


def _add_questions(api: APIRouter, backend: Backend, clock: Clock) -> None:
    @api.get("/state")
    async def state() -> Response:
        return reply(backend.now())

    @api.get("/points")
    async def points() -> Response:
        return reply(backend.points())

    @api.get("/points/{point}")
    async def one_point(point: str) -> Response:
        return reply(backend.point(point))

    @api.get("/plan")
    async def plan() -> Response:
        return reply(backend.plan())

    @api.get("/alarms")
    async def alarms() -> Response:
        return reply(backend.alarms())

    @api.get("/health")
    async def health() -> Response:
        return reply(backend.health())

    @api.get("/readings")
    async def readings(request: Request) -> Response:
        query = request.query_params
        if not query.get("point"):
            raise BadRequest("point: name one, such as ?point=townhall.hall.temperature; GET points lists them")
        window = _window(query.get("from"), query.get("to"), query.get("step"), clock.now())
        return reply(await backend.readings(query["point"], *window))


def _add_commands(api: APIRouter, backend: Backend, clock: Clock) -> None:
    @api.post("/points/{point}/override", openapi_extra=_schema(OverrideBody))
    async def override(point: str, request: Request) -> Response:
        try:
            body = OverrideBody.model_validate_json(await _json_body(request))
        except ValidationError as err:
            raise problem(err) from None
        body = checked(body, clock.now())
        await backend.override(point, body.value, body.until.astimezone(UTC), body.reason)
        return reply(backend.point(point))

    @api.delete("/points/{point}/override")
    async def cancel_override(point: str) -> Response:
        await backend.cancel_override(point)
        return reply(backend.point(point))

    @api.post("/stop", openapi_extra=_schema(StopBody))
    async def stop(request: Request) -> Response:
        try:
            raw = await request.body()
            body = StopBody.model_validate_json(raw) if raw.strip() else StopBody()
        except ValidationError as err:
            raise problem(err) from None
        await backend.stop(body.reason)
        return reply(backend.now().control)

    @api.post("/resume")
    async def resume() -> Response:
        await backend.resume()
        return reply(backend.now().control)


def error(text: str, status: int) -> Response:
    """An error as programs get it."""
    return Response(json.dumps({"error": text}).encode(), status_code=status, media_type="application/json")
