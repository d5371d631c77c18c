"""A typed Python client of Tandem, a recommender server, over HTTP or gRPC, for blocking and asyncio programs.

    with Client("grpc://127.0.0.1:3001") as client:
        for item in client.recommend("you", k=5).items: ...

The client needs neither BentoML nor torch nor Redis.
"""

from tandem_client.client import AsyncClient, Client
from tandem_client.errors import (
    Broken,
    ClientError,
    DeadlineExceeded,
    NotAllowed,
    NotFound,
    Overloaded,
    RequestRefused,
    Unavailable,
)
from tandem_client.requests import Event, Item, Mode, SessionEvent

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
