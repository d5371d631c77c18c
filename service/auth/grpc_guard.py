"""The key check of the gRPC door: nobody's message is read who may not ask."""

from __future__ import annotations

from collections.abc import Iterable

from grpc_health.v1.health import SERVICE_NAME as HEALTH

from service.auth.guard import SCOPES, KeyGuard, Refusal, presented_key
from service.auth.keyring import Scope
from service.grpc.convert import SERVICE

_SCOPES = {f"/{SERVICE.full_name}/{verb.rpc}": scope for verb, scope in SCOPES.items()}
_HEALTH, _REFLECTION = f"/{HEALTH}/", "/grpc.reflection."


class GrpcGuard:
    """Lets calls in by the key in their metadata; health needs none."""

    def __init__(self, guard: KeyGuard, admin: str) -> None:
        """admin: where the admin port is, in words."""
        self._guard = guard
        self._admin = admin

    def __call__(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Refusal where a call may not be; method: its path."""
        if method.startswith(_HEALTH):
            return
        scope = Scope.ADMIN if method.startswith(_REFLECTION) else _SCOPES.get(method)
        entry = self._guard.admit(presented_key(headers), scope)
        if scope is Scope.ADMIN and method in _SCOPES:
            refusal = Refusal(f"{method.rpartition('/')[2]} is not asked for here: {self._admin}.", "forbidden")
            raise self._guard.count_refusal(refusal, entry)
