"""The web application: pages, interface, metrics, behind one shield."""

from fastapi import FastAPI, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from controller.web.api import error, make_api
from controller.web.events import Streams
from controller.web.pages import Renderer, make_pages
from controller.web.shield import Shield
from controller.web.view import Backend, BadRequest, NotFound
from drivers.clock import Clock


class WebApp(FastAPI):
    """The ASGI application; `streams.close()` ends its event streams before the server stops."""

    streams: Streams


def make_app(
    backend: Backend,
    *,
    clock: Clock,
    registry: CollectorRegistry | None = None,
    pace: float = 1.0,
    renderer: Renderer | None = None,
) -> WebApp:
    """Everything that is served.

    `pace` is loop seconds per real second; `registry` None = no metrics of our own; `renderer` None = a new one,
    which takes a quarter of a second, so make it before the control loop starts.
    """
    app = WebApp(title="Plenum", version="1", docs_url=None, redoc_url=None, openapi_url="/api/v1/openapi.json")
    app.streams = Streams(backend.events, pace=pace)
    renderer, metrics = renderer or Renderer(), registry or CollectorRegistry()
    app.add_middleware(Shield)
    app.include_router(make_api(backend, app.streams, clock=clock))
    app.include_router(make_pages(backend, renderer))

    @app.get("/metrics", include_in_schema=False)
    async def measured() -> Response:
        return Response(generate_latest(metrics), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        health = backend.health()
        wrong = "\n".join(f"{check.name}: {check.text}" for check in health.checks if not check.ok)
        return PlainTextResponse("ok\n" if health.ok else wrong + "\n", status_code=200 if health.ok else 503)

    def refuse(request: Request, text: str, status: int) -> Response:
        if request.url.path.startswith("/api/"):
            return error(text, status)
        return renderer.page("problem.html", backend.now(), request, status=status, code=status, text=text)

    @app.exception_handler(BadRequest)
    async def bad_request(request: Request, err: BadRequest) -> Response:
        return refuse(request, str(err), 400)

    @app.exception_handler(NotFound)
    async def not_found(request: Request, err: NotFound) -> Response:
        return refuse(request, str(err), 404)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, err: HTTPException) -> Response:
        text = {
            404: f"There is nothing at {request.url.path[:80]}.",
            405: f"{request.method} does not work at {request.url.path[:80]}.",
        }.get(err.status_code, str(err.detail))
        return refuse(request, text, err.status_code)

    return app
