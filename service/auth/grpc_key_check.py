"""The API-key check of the gRPC server: an interceptor that refuses a call before its message is received."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH

from service.auth.key_check import KeyCheck, Refusal, presented_key
from service.grpc import error_status
from service.grpc.convert import SERVICE
from service.schema.errors import INTERNAL, error_body
from service.schema.verb_table import VERBS, Scope

logger = logging.getLogger("tandem")

_SCOPES = {f"/{SERVICE.full_name}/{verb.rpc}": verb.scope for verb in VERBS}
_HEALTH, _REFLECTION = f"/{HEALTH}/", "/grpc.reflection."


class GrpcKeyCheck(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # grpc has no hints
    """Admits calls by the key in their metadata. Health needs no key; reflection needs the scope admin."""

    def __init__(self, key_check: KeyCheck, admin_address: str) -> None:
        """admin_address: the address of the admin port, in words."""
        self._key_check = key_check
        self._admin_address = admin_address

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: Any
    ) -> Any:
        """The call's handler, or the handler that refuses it."""
        try:
            self._admit(details)
        except Refusal as refusal:
            return error_status.refusal(error_body(refusal), refusal.retry_after)
        except Exception:  # grpc would send the exception's text to the client
            logger.exception("The key check failed")
            return error_status.refusal(INTERNAL)
        return await continuation(details)

    def _admit(self, details: Any) -> None:
        method = details.method
        if method.startswith(_HEALTH):
            return
        scope = Scope.ADMIN if method.startswith(_REFLECTION) else _SCOPES.get(method)
        headers = ((name.encode(), _bytes(value)) for name, value in details.invocation_metadata)
        entry = self._key_check.admit(presented_key(headers), scope)
        if scope is Scope.ADMIN and method in _SCOPES:
            sentence = f"{method.rpartition('/')[2]} is not served over gRPC; over HTTP it is on {self._admin_address}."
            raise self._key_check.count_refusal(Refusal(sentence, "forbidden"), entry)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
