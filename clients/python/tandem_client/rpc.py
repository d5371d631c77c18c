"""The gRPC (RPC) transport of the client: it sends calls to a Tandem server, blocking or with asyncio.

It is imported only for a grpc:// or grpcs:// address, so that HTTP needs no grpcio.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel, ValidationError

from tandem_client.answers import ErrorBody, RecommendResponse
from tandem_client.calls import Call
from tandem_client.errors import (
    Broken,
    ClientError,
    NotAllowed,
    Overloaded,
    RequestRefused,
    Unavailable,
    error_of,
    too_late,
)
from tandem_client.messages import SERVICE, request_of, values_of
from tandem_client.trust import Trust

A = TypeVar("A", bound=BaseModel)

ERROR_KEY = "tandem-error-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

OPTIONS = [
    ("grpc.enable_retries", 0),  # `retry` tries again, by the same rules as over HTTP
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # 120 s by default, during which every try fails at once
    ("grpc.max_receive_message_length", -1),  # a hundred users' slates may pass 4 MB
]


class RpcTransport:
    """gRPC for blocking programs."""

    def __init__(self, place: str, headers: Mapping[str, str] = {}, trust: Trust | None = None) -> None:
        """headers: the metadata of each call."""
        self._metadata = tuple(headers.items())
        self._channel = (
            grpc.secure_channel(place, trust.credentials(), OPTIONS) if trust else grpc.insecure_channel(place, OPTIONS)
        )
        self._method = functools.cache(functools.partial(_method, self._channel))

    def send(self, call: Call[A], left: float) -> A:
        """One try; left: seconds."""
        with _failures():
            message = self._method(call.verb.rpc)(
                request_of(call.verb.rpc, call.values), timeout=left, metadata=self._metadata
            )
        return _answer(call, message)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()


class AsyncRpcTransport:
    """gRPC for asyncio programs."""

    def __init__(self, place: str, headers: Mapping[str, str] = {}, trust: Trust | None = None) -> None:
        """headers: the metadata of each call."""
        self._metadata = tuple(headers.items())
        aio = grpc.aio
        self._channel = (
            aio.secure_channel(place, trust.credentials(), OPTIONS) if trust else aio.insecure_channel(place, OPTIONS)
        )
        self._method = functools.cache(functools.partial(_method, self._channel))

    async def send(self, call: Call[A], left: float) -> A:
        """One try; left: seconds."""
        with _failures():
            message = await self._method(call.verb.rpc)(
                request_of(call.verb.rpc, call.values), timeout=left, metadata=self._metadata
            )
        return _answer(call, message)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()


def _method(channel: Any, rpc: str) -> Any:
    gives = GetMessageClass(SERVICE.methods_by_name[rpc].output_type)
    return channel.unary_unary(
        f"/{SERVICE.full_name}/{rpc}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=gives.FromString,
    )


def _answer(call: Call[A], message: Message) -> A:
    values: Any = values_of(message)
    try:
        if call.verb.gives is RecommendResponse:
            [values] = values["slates"]
        return call.verb.gives.model_validate(values)
    except (ValidationError, ValueError) as error:
        raise Broken(ErrorBody(code="grpc", message="The answer is not one of Tandem's.")) from error


@contextmanager
def _failures() -> Iterator[None]:
    """Raise the errors of gRPC as those of `errors`."""
    try:
        yield
    except grpc.RpcError as error:
        raise _error(error) from error


def _error(error: Any) -> ClientError:
    status, trailing = error.code(), dict(error.trailing_metadata() or ())
    wait = trailing.get(PUSHBACK_KEY)
    if status == grpc.StatusCode.DEADLINE_EXCEEDED:
        return too_late()
    try:
        body = ErrorBody.model_validate_json(trailing[ERROR_KEY])
    except (KeyError, ValidationError):
        body = ErrorBody(code=status.name.lower(), message=f"{error.details() or status.name}".rstrip(".") + ".")
    return error_of(body, _kind(status, ERROR_KEY in trailing), float(wait) / 1000 if wait else None)


def _kind(status: grpc.StatusCode, ours: bool) -> type[ClientError]:
    code = grpc.StatusCode
    if status in (code.UNAVAILABLE, code.CANCELLED):  # a server that stops cancels the calls that it has not read
        return Unavailable
    if status == code.RESOURCE_EXHAUSTED:
        return Overloaded if ours else RequestRefused
    if status in (code.UNAUTHENTICATED, code.PERMISSION_DENIED):
        return NotAllowed
    client_faults = (code.INVALID_ARGUMENT, code.NOT_FOUND, code.FAILED_PRECONDITION, code.UNIMPLEMENTED)
    return RequestRefused if status in client_faults else Broken
