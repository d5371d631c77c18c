"""Which field of a message holds text that is no UTF-8: the library says of such a message that it can't be parsed."""

from __future__ import annotations

from collections import Counter

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema.verdict import NAME_CHARACTERS

MOST_BYTES = 4 << 10
"""Of a message that is looked through: each of its fields takes microseconds, in which nobody is answered."""

_DELIMITED = 2

_JSON_NAMES = {"conditions": "filter"}


def not_text(descriptor: Descriptor, data: bytes) -> str:
    """Where it stands in these bytes, as errors name fields; empty where there is none, or it can't be told."""
    if len(data) > MOST_BYTES:
        return ""
    try:
        return ".".join(_path(descriptor, data) or ())
    except DecodeError:
        return ""


def _path(descriptor: Descriptor, data: bytes) -> list[str] | None:
    """The names on the way to it, outermost first; None where all text is. DecodeError where this is no message.

    Requests hold no message that may hold itself.
    """
    places: Counter[int] = Counter()
    for part in UnknownFieldSet(Empty.FromString(data)):  # it knows no field, so it keeps all as bytes
        field = descriptor.fields_by_number.get(part.field_number)
        if field is None or part.wire_type != _DELIMITED:
            continue
        place, below = places[field.number], _below(field, part.data)
        places[field.number] += 1
        if below is not None:
            is_list = field.is_repeated and not is_map(field)
            return [_JSON_NAMES.get(field.name, field.name), *([str(place)] if is_list else []), *below]
    return None


def _below(field: FieldDescriptor, data: bytes) -> list[str] | None:
    """The path from a field on; None where it is text as it should be."""
    kind = field.message_type
    if data.isascii() or (kind is None and field.type != FieldDescriptor.TYPE_STRING):
        return None
    if kind is None:
        return None if _text(data) is not None else []
    path = _path(kind, data)
    if path is None:
        return None
    if "kind" in kind.oneofs_by_name:  # an id is a text or a number, by no name of its own
        return []
    if kind is pb.Texts.DESCRIPTOR:
        return path[1:]
    return _of_entry(path, data) if is_map(field) else path


def _of_entry(path: list[str], data: bytes) -> list[str]:
    """The path in a pair of a map, which errors name by its key."""
    keys = [_text(part.data) for part in UnknownFieldSet(Empty.FromString(data)) if part.field_number == 1]
    return [keys[-1][:NAME_CHARACTERS], *path[1:]] if path[0] == "value" and keys and keys[-1] else []


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def is_map(field: FieldDescriptor) -> bool:
    """Whether its messages are pairs of a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)
