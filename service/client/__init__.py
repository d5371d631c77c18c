"""A typed client of a deployment, over HTTP or gRPC, for blocking and for asyncio programs.

    with Client("grpc://127.0.0.1:3001") as client:
        for item in client.recommend("you", k=5).items: ...

Knows the schema and neither BentoML nor torch nor Redis: an application may use or copy it with `service/schema`,
`service/rpc` and `recsys/errors.py` alone.
"""

from service.client.client import AsyncClient, Client
from service.client.errors import (
    Broken,
    ClientError,
    DeadlineExceeded,
    NotAllowed,
    NotFound,
    Overloaded,
    RequestRefused,
    Unavailable,
)
from service.schema import Event, Item, Mode, SessionEvent

__all__ = [
    "AsyncClient",
    "Broken",
    "Client",
    "ClientError",
    "DeadlineExceeded",
    "Event",
    "Item",
    "Mode",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "RequestRefused",
    "SessionEvent",
    "Unavailable",
]
