"""A place ahead of all that BentoML puts around an app: what it is given as middleware stands behind its own."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

Make = Callable[[Starlette, ASGIApp], ASGIApp]
"""Takes BentoML's app and its whole stack; gives what stands ahead of that stack."""


class Ahead:
    """A middleware that puts an app of ours ahead of the whole stack, when the server starts."""

    def __init__(self, app: ASGIApp, make: Make) -> None:
        self._app = app
        self._make = make

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Change places at the first word of the server's; after that only what ours leaves to BentoML comes by."""
        if scope["type"] == "lifespan":
            whole = scope["app"]
            whole.middleware_stack = self._make(whole, whole.middleware_stack)
        await self._app(scope, receive, send)
