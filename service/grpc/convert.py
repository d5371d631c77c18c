"""Conversion of gRPC messages to plain values and back, so that the models of HTTP requests validate gRPC too.

It follows the descriptors of the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct
from google.protobuf.unknown_fields import UnknownFieldSet
from pydantic import BaseModel

from recsys.errors import QueryError
from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.schema.errors import NAME_CHARACTERS, UNKNOWN_FIELD, checked

SERVICE = pb.DESCRIPTOR.services_by_name["Recommender"]

CONDITIONS = "conditions"
"""A field of requests. JSON has its entries in `filter`."""

ENTRIES, SET_ENTRIES, MAP_ENTRIES = 1_001, 65, 33
"""Entries of a list, a set and a map that are converted: one more than the schema allows, so that the schema refuses a
longer one."""

NAMED_BYTES = 16 << 10
"""Bytes of unknown fields up to which an error names the first: protobuf makes a Python object of each."""

M = TypeVar("M", bound=Message)
B = TypeVar("B", bound=BaseModel)
Converter = Callable[[Any], Any]


def parse(kind: type[M], data: bytes) -> M:
    """The message in these bytes; QueryError for other bytes, and for a field that the proto does not have."""
    message: M = kind()
    try:
        message.ParseFromString(data)
    except Exception as error:  # DecodeError, and UnicodeDecodeError from some versions of protobuf
        sentence = f"The bytes are not a valid {kind.DESCRIPTOR.full_name}, or hold text that is not UTF-8."
        raise QueryError(sentence, code="not_protobuf") from error
    if _has_long_list(message):
        return message  # the schema refuses it; the search for unknown fields would take three times as long
    size = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != size:
        few = size - message.ByteSize() <= NAMED_BYTES
        raise (few and _unknown_field(kind.FromString(data))) or QueryError(UNKNOWN_FIELD)
    return message


def _has_long_list(message: Message) -> bool:
    lists = (field for field in message.DESCRIPTOR.fields if field.is_repeated)
    return any(len(getattr(message, field.name)) >= ENTRIES for field in lists)


def values_of(message: Message) -> dict[str, Any]:
    """A request as JSON has it: a field that is left out or empty is missing."""
    values: dict[str, Any] = _reader(message.DESCRIPTOR)(message)
    if CONDITIONS in values:
        values["filter"] = _joined(values.get("filter", {}), values.pop(CONDITIONS))
    return values


def _joined(texts: dict[str, Any], conditions: dict[str, Any]) -> dict[str, Any]:
    """A filter as JSON has it; QueryError if both fields name a column."""
    for column in conditions:
        if column in texts:
            raise QueryError("Name the column once, in filter or in conditions.", f"filter.{column[:NAME_CHARACTERS]}")
    return texts | conditions


def request(kind: type[Message], model: type[B], data: bytes) -> B:
    """The request in these bytes; QueryError names the first wrong field, with the message of the HTTP server."""
    return checked(model, values_of(parse(kind, data)))


def message_of(kind: type[M], values: BaseModel | Mapping[str, Any]) -> M:
    """The message with the values of an answer; None is left out."""
    message: M = kind(**_shaper(kind.DESCRIPTOR)(values))
    return message


@cache
def _reader(descriptor: Descriptor) -> Converter:
    """The function that converts such a message of a request to a plain value."""
    readers = {field.name: _field_reader(field) for field in descriptor.fields}
    if "kind" in descriptor.oneofs_by_name:  # JSON has the value alone
        return lambda message: (kind := message.WhichOneof("kind")) and readers[kind](getattr(message, kind))
    if list(readers) == ["values"]:  # JSON has the list alone
        (read,) = map(_value_reader, descriptor.fields)
        return lambda message: [read(value) for value in islice(message.values, SET_ENTRIES)]
    return lambda message: {field.name: readers[field.name](value) for field, value in message.ListFields()}


def _field_reader(field: FieldDescriptor) -> Converter:
    if is_map(field):
        read = _value_reader(field.message_type.fields_by_name["value"])
        return lambda entries: {key: read(entries[key]) for key in sorted(islice(entries, MAP_ENTRIES))}  # no order
    read = _value_reader(field)
    return (lambda entries: [read(each) for each in islice(entries, ENTRIES)]) if field.is_repeated else read


def _value_reader(field: FieldDescriptor) -> Converter:
    return _reader(field.message_type) if field.message_type else _unchanged


@cache
def _shaper(descriptor: Descriptor) -> Converter:
    """The function that converts a plain value to the arguments of such a message of an answer.

    The arguments are nested dictionaries where protobuf takes them: a slate of ten items costs 11 us, and 27 us as
    nested messages.
    """
    if descriptor.full_name == Struct.DESCRIPTOR.full_name:
        return _struct
    if "kind" in descriptor.oneofs_by_name:
        return _kind
    shapers = {field.name: _field_shaper(field) for field in descriptor.fields if _holds_messages(field)}

    def shape(values: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
        given = vars(values) if isinstance(values, BaseModel) else values  # without a dump of the model
        return {
            name: shapers[name](value) if name in shapers else value
            for name, value in given.items()
            if value is not None
        }

    return shape


def _kind(value: str | bool | float) -> dict[str, Any]:
    return {"text" if isinstance(value, str) else "truth" if isinstance(value, bool) else "number": value}


def _struct(values: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def _field_shaper(field: FieldDescriptor) -> Converter:
    if is_map(field):
        kind = field.message_type.fields_by_name["value"].message_type
        shape, make = _shaper(kind), GetMessageClass(kind)
        return lambda entries: {key: make(**shape(value)) for key, value in entries.items()}  # maps need messages
    shape = _shaper(field.message_type)
    return (lambda entries: [shape(each) for each in entries]) if field.is_repeated else shape


def _holds_messages(field: FieldDescriptor) -> bool:
    return bool(field.message_type and (not is_map(field) or field.message_type.fields_by_name["value"].message_type))


def is_map(field: FieldDescriptor) -> bool:
    """Whether the field's messages are the entries of a map."""
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _unchanged(value: Any) -> Any:
    return value


def _unknown_field(message: Message, path: str = "") -> QueryError | None:
    """The error for the first field that the proto does not have, or has with another type; None without one."""
    for unknown in UnknownFieldSet(message):
        field = message.DESCRIPTOR.fields_by_number.get(unknown.field_number)
        if field is None:
            return QueryError(UNKNOWN_FIELD, f"{path}{unknown.field_number}")
        return QueryError("The bytes of this field are of another type; send the type of the proto.", path + field.name)
    for field, value in message.ListFields():
        for name, each in _parts(field, value):
            if error := _unknown_field(each, f"{path}{name}."):
                return error
    return None


def _parts(field: FieldDescriptor, value: Any) -> list[tuple[str, Message]]:
    """The messages in a field, by their path."""
    if not _holds_messages(field):
        return []
    if is_map(field):
        return [(f"{field.name}.{key}", value[key]) for key in islice(value, ENTRIES)]
    if field.is_repeated:
        return [(f"{field.name}.{index}", each) for index, each in enumerate(islice(value, ENTRIES))]
    return [(field.name, value)]
