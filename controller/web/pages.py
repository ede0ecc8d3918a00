"""The pages: rendered on the server, whole without a script, every command a form that redirects after it."""

import re
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from controller.web import figures, formats, history, pictures, remarks, timeline
from controller.web.view import Backend, BadRequest, Holder, NotFound, NowView, PlanView, Tone
from controller.web.words import Words, by_discomfort

SAID = {
    "override": "Done. The override holds until the time you chose, then ends by itself.",
    "cancelled": "Done. The override has ended.",
    "stopped": "Stopped. Every point is being handed back to the building.",
    "resumed": "Resumed. Plenum plans and acts again.",
    "done": "Done. Watch how the controller answers.",
}
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NUMBER = re.compile(r"[-+\N{MINUS SIGN}]?[0-9]{1,7}(\.[0-9]{1,4})?")
_LONGEST_REASON = 300


class Renderer:
    """Templates and static files, read once; nothing touches the disk while serving."""

    def __init__(self) -> None:
        self._env = Environment(
            loader=PackageLoader("controller.web"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._env.globals.update(
            number=formats.number, quantity=formats.quantity, reading=formats.reading, span=formats.span,
            gauge=pictures.gauge, Tone=Tone, Holder=Holder,
        )  # fmt: skip
        static = files("controller.web") / "static"
        self.static = {item.name: item.read_bytes() for item in static.iterdir() if item.is_file()}
        together = b"".join(self.static[name] for name in sorted(self.static))
        self._env.globals["version"] = sha256(together).hexdigest()[:12]
        for name in self._env.list_templates(extensions=["html"]):
            self._env.get_template(name)

    def page(self, name: str, view: NowView, request: Request, *, status: int = 200, **context: Any) -> Response:
        """One page; with `?fragment=1` only the parts that change."""
        query = request.query_params
        body = self._env.get_template(name).render(
            layout="fragment.html" if "fragment" in query else "page.html",
            page=name.removesuffix(".html"),
            wall=query.get("wall") == "1",
            said=SAID.get(query.get("said", ""), ""),
            view=view,
            t=Words.of(view),
            **context,
        )
        return HTMLResponse(body, status_code=status)


async def _form(request: Request) -> dict[str, str]:
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded").split(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise BadRequest("The form came in a shape that no page of ours sends. Use the page's own button.")
    try:
        fields = parse_qs((await request.body()).decode(), max_num_fields=20)
    except ValueError:
        raise BadRequest("The form could not be read. Go back and send it again.") from None
    return {name: values[-1].strip() for name, values in fields.items()}


def form_value(text: str) -> float:
    """A number as people type it; raises BadRequest."""
    if not _NUMBER.fullmatch(text):
        raise BadRequest(f"{text[:30]!r} is not a number. Type one such as 20.5.")
    return float(text.replace("\N{MINUS SIGN}", "-"))


def form_reason(form: dict[str, str]) -> str:
    return form.get("reason", "")[:_LONGEST_REASON] or "no reason given"


def _back(path: str, said: str, anchor: str = "") -> Response:
    return RedirectResponse(f"{path}?said={said}{anchor}", status_code=303)


def make_pages(backend: Backend, renderer: Renderer) -> APIRouter:
    """The routes of the pages and of their forms."""
    pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    _add_main(pages, backend, renderer)
    _add_others(pages, backend, renderer)
    _add_history(pages, backend, renderer)
    _add_commands(pages, backend)

    @pages.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in renderer.static:
            raise NotFound(f"There is no file {name[:60]!r}.")
        kind = _TYPES.get(name.rsplit(".", 1)[-1], "application/octet-stream")
        keep = {"cache-control": "public, max-age=31536000, immutable"}  # the address carries a hash of the content
        return Response(renderer.static[name], media_type=kind, headers=keep)

    return pages


def _add_main(pages: APIRouter, backend: Backend, renderer: Renderer) -> None:
    @pages.get("/")
    async def now(request: Request) -> Response:
        plan, view = backend.plan(), backend.now()
        return renderer.page(
            "now.html", view, request, zones=by_discomfort(view.zones), power=figures.power(plan) if plan else None,
            names=_names(view, plan),
        )  # fmt: skip

    @pages.get("/plan")
    async def plan(request: Request) -> Response:
        found, view = backend.plan(), backend.now()
        if found is None or not found.zones:
            return renderer.page("plan.html", view, request, plan=None)
        chosen = next((z for z in found.zones if z.id == request.query_params.get("zone")), _interesting(found))
        drawn = (figures.temperature(found, chosen), figures.outside(found), figures.heat(found), figures.power(found))
        return renderer.page(
            "plan.html", view, request, plan=found, chosen=chosen, figures=drawn, names=_names(view, found),
            small=[(zone, pictures.small(found, zone)) for zone in found.zones],
        )  # fmt: skip


def _add_others(pages: APIRouter, backend: Backend, renderer: Renderer) -> None:
    @pages.get("/carbon")
    async def carbon(request: Request) -> Response:
        view = await backend.carbon()
        last = view.days[-1][0] if view.days else None
        days = [
            ("today" if on == last else f"{on:%a}", energy.grid_kg, energy.annual_kg) for on, energy in view.days[-8:]
        ]
        picture = pictures.bars(days, "kg", ("grid", "annual")) if days else None
        return renderer.page("carbon.html", backend.now(), request, carbon=view, picture=picture)

    @pages.get("/alarms")
    async def alarms(request: Request) -> Response:
        held = [
            point for point in backend.points()
            if point.hold is not None and point.hold.holder in {Holder.OVERRIDE, Holder.OPERATOR}
        ]  # fmt: skip
        return renderer.page("alarms.html", backend.now(), request, alarms=backend.alarms(), held=held)

    @pages.get("/devices")
    async def devices(request: Request) -> Response:
        return renderer.page("devices.html", backend.now(), request, health=backend.health(), points=backend.points())

    @pages.get("/points/{point}")
    async def one_point(point: str, request: Request) -> Response:
        return renderer.page("point.html", backend.now(), request, point=backend.point(point))


def _add_history(pages: APIRouter, backend: Backend, renderer: Renderer) -> None:
    @pages.get("/points/{point}/history")
    async def past(point: str, request: Request) -> Response:
        view = backend.now()
        tz, until_s = view.timezone, view.time.timestamp()
        choice = timeline.chosen(request.query_params, tz, view.time)
        found = await backend.history(point, choice.start, choice.end)
        return renderer.page(
            "history.html", view, request, past=found, choice=choice, spans=timeline.SPANS,
            live=choice.present and choice.span in timeline.LIVELY, links=timeline.links(choice, point, view.time),
            picture=history.chart(found, choice, tz=tz, until_s=until_s),
            facts=remarks.facts(found, choice, tz=tz, until_s=until_s),
            local=lambda when: f"{when.astimezone(ZoneInfo(tz)):%Y-%m-%dT%H:%M}",
        )  # fmt: skip


def _add_commands(pages: APIRouter, backend: Backend) -> None:
    @pages.post("/points/{point}/override")
    async def override(point: str, request: Request) -> Response:
        form = await _form(request)
        words = Words.of(backend.now())
        until = next((choice.until for choice in words.choices() if choice.key == form.get("until")), None)
        if until is None:
            raise BadRequest("Choose until when it should hold: every override ends by itself.")
        await backend.override(point, form_value(form.get("value", "")), until, form_reason(form))
        return _return(form, point, "override")

    @pages.post("/points/{point}/override/cancel")
    async def cancel(point: str, request: Request) -> Response:
        form = await _form(request)
        await backend.cancel_override(point)
        return _return(form, point, "cancelled")

    @pages.post("/stop")
    async def stop(request: Request) -> Response:
        await backend.stop(form_reason(await _form(request)))
        return _back("/", "stopped")

    @pages.post("/resume")
    async def resume() -> Response:
        await backend.resume()
        return _back("/", "resumed")

    @pages.post("/demo/{name}")
    async def act(name: str) -> Response:
        await backend.act(name)
        return _back("/", "done", "#demo")


def _return(form: dict[str, str], point: str, said: str) -> Response:
    return _back("/", said, "#zones") if form.get("from") == "now" else _back(f"/points/{point}", said)


def _names(view: NowView, plan: PlanView | None) -> dict[str, str]:
    names = {zone.id: zone.name for zone in view.zones} | {plant.id: plant.name for plant in view.plant}
    return names | dict(plan.names) if plan is not None else names


def _interesting(plan: PlanView) -> Any:
    """The zone that the next decision is about, else the first."""
    ids = {zone.id: zone for zone in plan.zones}
    ahead = (reason.part for reason in plan.decisions if reason.time >= plan.now and reason.part in ids)
    return ids[next(ahead, plan.zones[0].id)]
