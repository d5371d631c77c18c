"""What a path says: which user or item it names, exactly as it was sent."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request

from recsys.errors import QueryError
from recsys.types import Id
from service import schema
from service.schema.verdict import checked


class WholePathConvertor(PathConvertor):
    """All the rest of a path, as Starlette's `path`, which ends at a line break.

    With that one DELETE /users/ann%0a would forget ann, and nobody could forget "ann%0ab".
    """

    regex = r"[\s\S]*"


register_url_convertor("path", WholePathConvertor())  # in its place: BentoML's mount of the door goes by it too


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
