"""Calls the HTTP and gRPC servers of the image under test: single requests, and a light load while it stops."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import httpx

from service.grpc.tandem.v1 import recommender_pb2 as pb
from service.grpc.tandem.v1 import recommender_pb2_grpc as rpc
from tandem_client import Client

PAUSE = 0.05
"""Seconds between two requests of one caller."""

SECONDS = 20
"""Until an answer is as it should be, at most."""


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


@dataclass
class Callers:
    """Callers over HTTP and gRPC. A request counts as lost if it was sent and got no answer, or another error.

    A refused connection was not accepted, nor was one that is reset after `closed` (tests/chaos/faults/drain.py). An
    answer that the server is closing (503, UNAVAILABLE) is no loss.
    """

    http: str
    grpc: str
    counts: Counter[str] = field(default_factory=Counter)
    closed: float = math.inf  # monotonic seconds: when the workers close the listening socket
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Callers:
        callers = [self._http] * 2 + [self._grpc] * 2
        self._threads = [threading.Thread(target=caller) for caller in callers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def lost(self) -> dict[str, int]:
        """Why requests were lost, and how many."""
        return {why: count for why, count in self.counts.items() if why.startswith("lost")}

    def _http(self) -> None:
        while not self._stopped.wait(PAUSE):
            start = time.monotonic()
            try:
                with httpx.Client() as client:  # a connection of its own: one that is refused was not accepted
                    answer = client.post(f"{self.http}/recommend", json={"user_id": 4}, timeout=10)
                self.counts["http answered" if answer.status_code == 200 else _refused(answer)] += 1
            except httpx.ConnectError:
                self.counts["http not accepted"] += 1
            except httpx.HTTPError as error:
                reset = start > self.closed and isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError)
                self.counts["http not accepted" if reset else f"lost: http {type(error).__name__}"] += 1

    def _grpc(self) -> None:
        with grpc.insecure_channel(self.grpc) as channel:
            stub = rpc.RecommenderStub(channel)
            while not self._stopped.wait(PAUSE):
                try:
                    stub.Recommend(pb.RecommendRequest(user_id=pb.Id(number=4)), timeout=10)
                    self.counts["grpc answered"] += 1
                except grpc.RpcError as error:
                    self.counts[_code(error)] += 1


def _refused(answer: httpx.Response) -> str:
    return "http closing" if answer.status_code == 503 else f"lost: http {answer.status_code}"


def _code(error: grpc.RpcError) -> str:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        # "failed to connect", "Connection refused": the call was not sent. So does a GOAWAY before the call.
        sent = "connect" not in details.lower()
        return f"lost: grpc UNAVAILABLE {details[:60]}" if sent else "grpc not accepted"
    if code is grpc.StatusCode.CANCELLED:  # grpc cancels unread the calls that arrive after its GOAWAY
        return "grpc not accepted"
    return f"lost: grpc {code.name}"
