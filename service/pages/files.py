"""The routes of the web pages / (Explorer), /operations and /docs (the API in Swagger UI), and of their files.

A page is a Jinja template that extends `layout.html.j2`. Styles and scripts are the .css and .js files of this folder.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

_FOLDER = Path(__file__).parent

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",  # the arrows in Swagger UI's stylesheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
_PAGE = {"content-security-policy": _POLICY, "x-frame-options": "DENY", "referrer-policy": "no-referrer"}
_VARY = {"vary": "accept-encoding"}
_PACKED = {"content-encoding": "gzip", **_VARY}

_TEMPLATES = {"/": "explorer/explorer.html.j2", "/operations": "operations/operations.html.j2"}
"""The template of each page, by path."""

_TYPES = {".css": "text/css", ".js": "text/javascript"}
_SHARED = [_FOLDER / "pages.css", _FOLDER / "common.js"]
_OF_PAGES = sorted(
    path for page in ("explorer", "operations") for path in (_FOLDER / page).iterdir() if path.suffix in _TYPES
)

_FILES: dict[str, tuple[str, str, dict[str, str]]] = {
    **{
        f"/pages/{path.relative_to(_FOLDER)}": (str(path.relative_to(_FOLDER)), _TYPES[path.suffix], {})
        for path in (*_SHARED, *_OF_PAGES)
    },
    "/docs": ("api.html", "text/html", _PAGE),
    "/docs/api.css": ("api.css", "text/css", {}),
    "/docs/api.js": ("api.js", "text/javascript", {}),
    "/docs/swagger-ui.css": ("swagger-ui/swagger-ui.css.gz", "text/css", _PACKED),
    "/docs/swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js.gz", "text/javascript", _PACKED),
}
"""File, media type and headers, by path."""

PATHS = frozenset({*_TEMPLATES, *_FILES})
"""The pages and their files hold no data of the deployment: the admin port returns them without a key."""


def _file(name: str, media_type: str, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        accepted = {coding.strip() for coding in request.headers.get("accept-encoding", "").split(",")}
        if headers is _PACKED and "gzip" not in accepted:
            return Response(gzip.decompress((_FOLDER / name).read_bytes()), media_type=media_type, headers=_VARY)
        return FileResponse(_FOLDER / name, media_type=media_type, headers=headers)

    return endpoint


def _page(html: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(_: Request) -> Response:
        return HTMLResponse(html, headers=_PAGE)

    return endpoint


def _rendered(template: str) -> str:
    loaded = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
    return loaded.get_template(template).render()


ROUTES = [
    *(Route(path, _page(_rendered(template)), methods=["GET"]) for path, template in _TEMPLATES.items()),
    *(Route(path, _file(*file), methods=["GET"]) for path, file in _FILES.items()),
]
