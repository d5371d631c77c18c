"""The user or item that a path names, exactly as the client sent it."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.routing import Match, Route
from starlette.types import Scope

from recsys.errors import QueryError
from recsys.types import Id
from service import schema
from service.schema.errors import checked


class AnyConvertor(PathConvertor):
    """The rest of a path, line breaks included; Starlette's `path` ends at a line break.

    With `path`, DELETE /users/ann%0a would forget the user ann, and no request could forget the user "ann%0ab".
    """

    regex = r"[\s\S]*"


register_url_convertor("any", AnyConvertor())


class MergeRoute(Route):
    """The path of a merge; in "/users/a%2Fmerge" the slash is part of a user's id."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's, for paths that end in "/merge" as they were sent."""
        return super().matches(scope) if is_merge(scope) else (Match.NONE, {})


class UserRoute(Route):
    """The path of a user."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's, but for the paths of merges."""
        return (Match.NONE, {}) if is_merge(scope) else super().matches(scope)


def is_merge(scope: Scope) -> bool:
    """Whether a path is of a merge; "/users/merge" is of the user "merge"."""
    return scope["type"] == "http" and re.fullmatch(rb"/users/.*/merge", scope["raw_path"], re.DOTALL) is not None


def user_id(request: Request) -> Id:
    """The user that a path names, text always; QueryError for what is no id."""
    _require_utf8(request, "user_id")
    return checked(schema.UserRequest, request.path_params).user_id


def item_id(request: Request) -> Id:
    """The item that a path names, likewise."""
    _require_utf8(request, "item_id")
    return checked(schema.ItemRequest, request.path_params).item_id


def _require_utf8(request: Request, field: str) -> None:
    try:
        unquote_to_bytes(request.scope["raw_path"]).decode()
    except UnicodeDecodeError as error:  # the server puts one sign for all such bytes, and with it one id for many
        raise QueryError("Send the id percent-encoded as UTF-8.", field) from error
