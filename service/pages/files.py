"""The routes of the web pages / (try recommendations) and /docs (the API in Swagger UI), from the package's files."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
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

_FILES: dict[str, tuple[str, str, dict[str, str]]] = {
    "/": ("index.html", "text/html", _PAGE),
    "/pages/index.css": ("index.css", "text/css", {}),
    "/pages/index.js": ("index.js", "text/javascript", {}),
    "/docs": ("api.html", "text/html", _PAGE),
    "/docs/api.css": ("api.css", "text/css", {}),
    "/docs/api.js": ("api.js", "text/javascript", {}),
    "/docs/swagger-ui.css": ("swagger-ui/swagger-ui.css.gz", "text/css", _PACKED),
    "/docs/swagger-ui-bundle.js": ("swagger-ui/swagger-ui-bundle.js.gz", "text/javascript", _PACKED),
}
"""File, media type and headers, by path."""

PATHS = frozenset(_FILES)
"""The pages and their files hold no data of the deployment: the admin port returns them without a key."""


def _endpoint(name: str, media_type: str, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        accepted = {coding.strip() for coding in request.headers.get("accept-encoding", "").split(",")}
        if headers is _PACKED and "gzip" not in accepted:
            return Response(gzip.decompress((_FOLDER / name).read_bytes()), media_type=media_type, headers=_VARY)
        return FileResponse(_FOLDER / name, media_type=media_type, headers=headers)

    return endpoint


ROUTES = [Route(path, _endpoint(*file), methods=["GET"]) for path, file in _FILES.items()]
