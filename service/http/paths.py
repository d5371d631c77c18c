"""The paths of HTTP requests: the health probes, and how the ids of users and items are read from a path.

Paths are matched as the client sent them: an encoded slash or line break is part of an id.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.errors import QueryError
from service.schema.verb_table import MERGE, Verb

PROBES = ("/livez", "/healthz", "/readyz")
"""The only paths of BentoML that a client reaches."""

METHODS = ("GET", "HEAD")
"""Methods of the probes. BentoML answers another method with plain text."""


class UserConvertor(PathConvertor):
    """The id of a user. A path that ends in "/merge" is of a merge, and "/users/merge" is of the user "merge"."""

    regex = r"(?!.*/merge$).*"


register_url_convertor("user", UserConvertor())


class PathAsSent:
    """An ASGI middleware: routes match the percent-encoded path, and "/users/a%2Fmerge" is of the user "a/merge"."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)


def template(verb: Verb) -> str:
    """The path of an endpoint's route."""
    kind = "path" if verb is MERGE else "user"
    return verb.path.replace("{user_id}", f"{{user_id:{kind}}}").replace("{item_id}", "{item_id:path}")


def is_merge(path: str) -> bool:
    """Whether a path, as it was sent, is of a merge."""
    return re.fullmatch("/users/.*/merge", path) is not None


def ids(request: Request) -> dict[str, str]:
    """The ids in a path, text always; QueryError for other bytes than UTF-8."""
    return {field: _decoded(field, sent) for field, sent in request.path_params.items()}


def _decoded(field: str, sent: str) -> str:
    try:
        return unquote_to_bytes(sent.encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise QueryError("Send the id percent-encoded as UTF-8.", field) from error
