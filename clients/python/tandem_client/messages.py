"""Conversion of the client's requests to protobuf messages, and of messages to plain answers, for calls over gRPC.

The messages' descriptors come from `recommender.binpb`, which `make proto` writes. They are in a pool of their own: a
program that has its own generated code of tandem.v1 can import this package too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tandem_client.answers import ErrorBody
from tandem_client.errors import RequestRefused

NAMELESS = {"Id", "Value", "Texts", "Values", "Condition"}
"""Messages without an object in JSON: their fields are no part of the path of a field."""

JSON_NAMES = {"conditions": "filter"}


def _service() -> Any:
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(files("tandem_client").joinpath("recommender.binpb").read_bytes()).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName("tandem.v1.Recommender")


SERVICE = _service()


def request_of(rpc: str, values: Mapping[str, Any]) -> Message:
    """The request with these values; RequestRefused names the field of a value that the proto can't hold."""
    message: Message = GetMessageClass(SERVICE.methods_by_name[rpc].input_type)()
    _fill(message, values, "")
    return message


def values_of(answer: Message) -> dict[str, Any]:
    """An answer as `answers` reads it."""
    values: dict[str, Any] = MessageToDict(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return values


def _fill(message: Message, value: Any, place: str) -> None:
    """Set a message to a plain value. place: where the value is in the request."""
    descriptor = message.DESCRIPTOR
    if descriptor.name == "Condition":
        value = _condition(value)
    elif "kind" in descriptor.oneofs_by_name:  # an id, or the value of a column
        value = {_kind(descriptor, value): value}
    elif descriptor.name in {"Texts", "Values"}:
        value = {"values": value}
    elif "conditions" in descriptor.fields_by_name and isinstance(value.get("filter"), Mapping):
        value = {**value, **_both_fields(value["filter"])}
    if not isinstance(value, Mapping):
        raise _refused(place, "Send an object.")
    for name, part in value.items():
        field = descriptor.fields_by_name.get(name)
        where = place if descriptor.name in NAMELESS else f"{place}.{JSON_NAMES.get(name, name)}".lstrip(".")
        if field is None:
            raise _refused(where, "There is no field of this name; remove it.")
        if part is not None:
            _put(message, field, part, where)


def _kind(descriptor: Any, value: Any) -> str:
    if isinstance(value, bool) and "truth" in descriptor.fields_by_name:
        return "truth"
    return "text" if isinstance(value, str) else "number"


def _condition(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"truth": value}
    return {"range" if isinstance(value, Mapping) else "any_of": value}


def _both_fields(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """A filter as the proto has it: sets of texts in `filter`, every other condition in `conditions`."""
    texts = {column: each for column, each in conditions.items() if _is_texts(each)}
    others = {column: each for column, each in conditions.items() if column not in texts}
    return {"filter": texts, "conditions": others}


def _is_texts(condition: Any) -> bool:
    return isinstance(condition, list) and all(isinstance(value, str) for value in condition)


def _put(message: Message, field: FieldDescriptor, value: Any, place: str) -> None:
    held = getattr(message, field.name)
    try:
        if field.message_type and field.message_type.GetOptions().map_entry:
            of_messages = field.message_type.fields_by_name["value"].message_type
            for key, part in value.items():
                if of_messages:
                    _fill(held[key], part, f"{place}.{key}")
                else:
                    held[key] = part
        elif field.is_repeated and field.message_type:
            for index, part in enumerate(_list(value)):
                _fill(held.add(), part, f"{place}.{index}")
        elif field.is_repeated:
            held.extend(_list(value))
        elif field.message_type:
            held.SetInParent()
            _fill(held, value, place)
        else:
            if field.name == "timestamp" and isinstance(value, str):
                value = _seconds(value, place)
            if isinstance(value, bool) != (field.type == FieldDescriptor.TYPE_BOOL):
                raise TypeError  # protobuf takes True for 1
            setattr(message, field.name, value)
    except (TypeError, ValueError, AttributeError) as error:
        raise _refused(place, f"A value of type {type(value).__name__} does not fit here.") from error


def _seconds(text: str, place: str) -> float:
    """Unix seconds, the form of the proto, of an ISO 8601 time with an offset; RequestRefused for any other text."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise _refused(place, "Send unix seconds or an ISO 8601 time with its offset, as in 2026-11-30T08:15:00Z.")
    return moment.timestamp()


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError  # text and objects are iterable too
    return value


def _refused(place: str, message: str) -> RequestRefused:
    return RequestRefused(ErrorBody(code="invalid", message=message, field=place or None))
