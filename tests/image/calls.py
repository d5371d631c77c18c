"""Calls the HTTP and gRPC servers of the image under test: single requests, and a light load while it stops."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from tandem_client import Client
from tests.judged_load.grpc_load import GrpcLoad
from tests.judged_load.http_load import Answer, HttpLoad
from tests.judged_load.outcome import accepted
from tests.judged_load.served_pair import USERS

SECONDS = 20
"""Until an answer is as it should be, at most."""

RATE = 20.0
"""Requests a second at each door."""


def slate(url: str, known: bool = True) -> str:
    """The slate of a user over HTTP or gRPC, as a sentence. known: whether the store has the user's history."""
    end = time.monotonic() + SECONDS
    with Client(url) as client:
        while bool((answer := client.recommend(4, k=10)).history) is not known and time.monotonic() < end:
            time.sleep(0.1)
    assert not answer.degraded, answer
    assert bool(answer.history) is known, answer
    assert len(answer.items) == 10, answer
    items = ", ".join(str(item.item_id) for item in answer.items[:3])
    return f"{items} and 7 more of {answer.generation}, {answer.history} interactions known"


def wait_until_ready(url: str, seconds: float, alive: Callable[[], bool]) -> float:
    """Seconds until /readyz returns 200; SystemExit after so many seconds."""
    started = time.monotonic()
    while time.monotonic() - started < seconds and alive():
        try:
            if httpx.get(f"{url}/readyz", timeout=2).status_code == 200:
                return time.monotonic() - started
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("image-test: the container was not ready in time")


def stopped_under_load(http: str, grpc: str, stop: Callable[[], int]) -> tuple[int, float, list[Answer]]:
    """Stop the service while it gets requests over HTTP and gRPC.

    Its exit code, the seconds that the stop took, and the answers to requests that it had accepted.
    """
    with HttpLoad(http, USERS, RATE) as web, GrpcLoad(grpc, USERS, RATE) as rpc:
        time.sleep(3)
        started = time.time()
        code = stop()
        took = time.time() - started
    return code, took, accepted([*web.answers, *rpc.answers], closed=started)  # the drain time is 0
