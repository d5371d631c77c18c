"""The gate before the gRPC door: nobody's message is read who may not ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from service.edge.gate import SCOPES, Gate, Refusal, sent
from service.edge.keyring import Scope
from service.rpc.convert import SERVICE
from service.rpc.verdict import refuse
from service.schema.verdict import error_body

_SCOPES = {f"/{SERVICE.full_name}/{verb.rpc}": scope for verb, scope in SCOPES.items()}
_HEALTH, _REFLECTION = f"/{HEALTH}/", "/grpc.reflection."

Continuation = Callable[[Any], Awaitable[Any]]


class GatedCalls(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no hints
    """Lets calls in by the key in their metadata; health needs none."""

    def __init__(self, gate: Gate, admin: str) -> None:
        """admin: where the admin port is, in words."""
        self._gate = gate
        self._admin = admin

    async def intercept_service(self, continuation: Continuation, details: Any) -> Any:
        """The handler of a call, or one that refuses it before its message is read."""
        if not details.method.startswith(_HEALTH):
            try:
                self._admit(details)
            except Refusal as refusal:
                return _refusing(refusal)
        return await continuation(details)

    def _admit(self, details: Any) -> None:
        method = details.method
        scope = Scope.ADMIN if method.startswith(_REFLECTION) else _SCOPES.get(method)
        told = ((key.encode(), value if isinstance(value, bytes) else value.encode()) for key, value in _told(details))
        entry = self._gate.admit(sent(told), scope)
        if scope is Scope.ADMIN and method in _SCOPES:
            refusal = Refusal(f"{method.rpartition('/')[2]} is not asked for here: {self._admin}.", "forbidden")
            raise self._gate.refused(refusal, entry)


def _told(details: Any) -> Any:
    return details.invocation_metadata or ()


def _refusing(refusal: Refusal) -> Any:
    """A handler for any kind of call: as one of a stream it gets to speak before anything is read."""

    async def refused(_: AsyncIterator[bytes], context: Any) -> None:
        await refuse(context, error_body(refusal), refusal.again)

    return grpc.stream_stream_rpc_method_handler(refused)
