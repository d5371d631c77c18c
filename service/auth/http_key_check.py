"""The API-key check of the HTTP servers: a middleware that refuses a request by its headers, before the body is read.

There are two HTTP servers: the public port for apps, and the admin port, which has every path.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.auth.key_check import KeyCheck, Refusal, presented_key
from service.http.error_responses import error_response, nothing_at
from service.http.paths import is_merge
from service.schema import verb_table
from service.schema.verb_table import MERGE, VERBS

_ADMIN = verb_table.Scope.ADMIN

PUBLIC = {verb.path: verb.scope for verb in VERBS if verb.scope is not _ADMIN and verb is not MERGE}
"""The scope of each path of the public port but those of merges. Every other path is on the admin port alone."""

EXPLORER = "/explorer/"
"""The paths of the Explorer's data, which need the scope read. The public port does not have them: apps with such a key
read no histories."""


def _public(scope: Scope) -> verb_table.Scope | None:
    """The scope that a request needs on the public port; None for a path that the public port does not have."""
    if scope["method"] == MERGE.method and is_merge(scope["path"]):
        return MERGE.scope
    return PUBLIC.get(scope["path"])


def _on_admin_port(scope: Scope) -> verb_table.Scope:
    """The scope that a request needs for a path that only the admin port has."""
    return verb_table.Scope.READ if scope["path"].startswith(EXPLORER) else _ADMIN


class HttpKeyCheck:
    """An ASGI middleware that passes on only the requests that their key allows."""

    def __init__(
        self, app: ASGIApp, key_check: KeyCheck, keyless: Collection[str], admin: bool, admin_address: str = ""
    ) -> None:
        """keyless: paths that need no key. admin: whether this is the admin port, which has every path.

        admin_address: the address of the admin port, in words.
        """
        self._app = app
        self._key_check = key_check
        self._keyless = frozenset(keyless)
        self._admin = admin
        self._admin_address = admin_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["path"] in self._keyless:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (self._app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        wanted = _public(scope) or (_on_admin_port(scope) if self._admin else None)
        try:
            entry = self._key_check.admit(presented_key(scope["headers"]), wanted)
        except Refusal as refusal:
            return error_response(refusal, refusal.retry_after)
        if wanted is not None:
            return None
        elsewhere = f"Paths for operators are on {self._admin_address}." if _ADMIN in entry.scopes else ""
        return error_response(nothing_at(scope["path"], elsewhere))
