"""Clients of the load test for the service's two doors, its HTTP and gRPC servers: they request items and send clicks.

Each request has an outcome: a complete list of items, a degraded one without one of the stages, a rejection or a
failure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from loadtests.tally import NO_AGES, Outcome
from recsys.surfaces import DEFAULT

Id = int | str

RECOMMEND = "/recommend"

SERVICE = "/tandem.v1.Recommender"


class Reply(NamedTuple):
    """The outcome of a request. items: of the slate. word: the reason of a failure. ages: of the slate's parts."""

    outcome: Outcome
    items: list[Id]
    word: str = ""
    ages: Mapping[str, float] = NO_AGES


class Door(Protocol):
    """A client with connections of its own. Its requests enter Locust's statistics."""

    def recommend(self, user: Id, k: int, due: float | None) -> Reply:
        """Request a slate; due: the moment, by `time.perf_counter`, from which Locust's statistics count, if at all."""

    def click(self, user: Id, item: Id, counted: bool) -> bool:
        """Send a click; True if it was accepted. counted: the click enters Locust's statistics."""


def judged(items: list[Id], degraded: bool, k: int, ages: Mapping[str, float] = NO_AGES) -> Reply:
    """The outcome of a slate, which needs k distinct items."""
    if len(set(items)) != k or len(items) != k:
        return Reply(Outcome.FAILED, items, f"{len(set(items))} distinct items, not {k}")
    return Reply(Outcome.DEGRADED if degraded else Outcome.WHOLE, items, ages=ages)


def judged_http(status: int, content: bytes, k: int) -> Reply:
    """The outcome of POST /recommend; status: 0 without an answer."""
    if status == 429:
        return Reply(Outcome.REJECTED, [])
    if status != 200:
        return Reply(Outcome.FAILED, [], f"status {status}" if status else "no answer")
    try:
        body = json.loads(content)
        ages = {part: age for part, age in body.get("freshness", NO_AGES).items() if age is not None}
        return judged([item["item_id"] for item in body["items"]], bool(body["degraded"]), k, ages)
    except (ValueError, KeyError, TypeError):
        return Reply(Outcome.FAILED, [], "no slate in the body")


def judged_verb(status: int, content: bytes) -> Reply:
    """The outcome of a verb beside /recommend, whose answer needs no number of items."""
    if status == 429:
        return Reply(Outcome.REJECTED, [])
    if status != 200:
        return Reply(Outcome.FAILED, [], f"status {status}" if status else "no answer")
    return Reply(Outcome.DEGRADED if json.loads(content).get("degraded") else Outcome.WHOLE, [])


def judged_message(answer: Any, k: int) -> Reply:
    """The outcome of a RecommendResponse with one slate."""
    slate = answer.slates[0]
    items = [getattr(item.item_id, item.item_id.WhichOneof("kind")) for item in slate.items]
    return judged(items, bool(slate.degraded), k, {field.name: age for field, age in slate.freshness.ListFields()})


def _credentials(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def _since(moment: float) -> float:
    return 1000 * (time.perf_counter() - moment)


class HttpDoor:
    """POST /recommend, or another verb, and POST /events through a Locust session."""

    def __init__(
        self,
        session: Any,
        deadline_ms: int,
        key: str = "",
        surface: str = DEFAULT,
        path: str = RECOMMEND,
        body: str = "",
    ) -> None:
        """session: FastHttpSession. deadline_ms: 0 for the deployment's own. key: "" without one.

        body: JSON in which "{id}" stands for the user; "": a request for a slate of k items.
        """
        self._surface = {} if surface == DEFAULT else {"surface": surface}
        self._session, self._path, self._body = session, path, body
        self._headers = {"Content-Type": "application/json", **_credentials(key)}
        self._deadline = {"x-deadline-ms": str(deadline_ms)} if deadline_ms else {}

    def recommend(self, user: Id, k: int, due: float | None) -> Reply:
        """See `Door`."""
        body = json.dumps({"user_id": user, "k": k, "log_impression": False, **self._surface})
        if self._body:
            body = self._body.replace('"{id}"', json.dumps(user))
        headers = self._headers | self._deadline
        answer = self._session.post(self._path, data=body, headers=headers, catch_response=True)
        is_slate = self._path == RECOMMEND
        status, content = answer.status_code, answer.content
        reply = judged_http(status, content, k) if is_slate else judged_verb(status, content)
        if due is not None:
            with answer:  # the session fires Locust's event at the end of this block, and never without the block
                answer.request_meta["response_time"] = _since(due)
                if reply.outcome in (Outcome.FAILED, Outcome.REJECTED):
                    answer.failure(reply.word or "status 429")
                else:
                    answer.success()
        return reply

    def click(self, user: Id, item: Id, counted: bool) -> bool:
        """See `Door`."""
        body = json.dumps({"events": [{"user_id": user, "item_id": item}]})
        answer = self._session.post("/events", data=body, headers=self._headers, catch_response=True)
        if counted:
            with answer:
                pass  # Locust counts any status other than 2xx as a failure
        return bool(answer.status_code == 200)


class GrpcDoor:
    """tandem.v1.Recommender's Recommend and AddEvents over a channel with a connection of its own."""

    def __init__(self, address: str, seconds: float, key: str, request_event: Any, surface: str = DEFAULT) -> None:
        """address: host:port, or a URL with them. seconds: the deadline of a call. key: "" without one.

        request_event: Locust's event `request`.
        """
        import grpc
        import grpc.experimental.gevent

        from service.grpc.tandem.v1 import recommender_pb2 as messages
        from service.grpc.tandem.v1 import recommender_pb2_grpc as stubs

        grpc.experimental.gevent.init_gevent()
        self._surface = None if surface == DEFAULT else surface
        self._messages, self._error, self._codes = messages, grpc.RpcError, grpc.StatusCode
        own_connection = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.insecure_channel(urlsplit(address).netloc or address, options=own_connection)
        self._stub, self._request_event = stubs.RecommenderStub(channel), request_event
        self._more = {"timeout": seconds, "metadata": tuple(_credentials(key).items())}

    def recommend(self, user: Id, k: int, due: float | None) -> Reply:
        """See `Door`."""
        fields = {"user_id": self._id(user), "k": k, "log_impression": False, "surface": self._surface}
        request, answer = self._messages.RecommendRequest(**fields), None
        try:
            answer = self._stub.Recommend(request, **self._more)
            reply = judged_message(answer, k)
        except self._error as error:
            exhausted = error.code() == self._codes.RESOURCE_EXHAUSTED
            outcome = Outcome.REJECTED if exhausted else Outcome.FAILED
            reply = Reply(outcome, [], "" if exhausted else f"status {error.code().name}")
        except IndexError:
            reply = Reply(Outcome.FAILED, [], "no slate in the message")
        if due is not None:
            bad = reply.outcome in (Outcome.FAILED, Outcome.REJECTED)
            self._record("Recommend", due, answer, (reply.word or "status RESOURCE_EXHAUSTED") if bad else "")
        return reply

    def click(self, user: Id, item: Id, counted: bool) -> bool:
        """See `Door`."""
        event = self._messages.Event(user_id=self._id(user), item_id=self._id(item))
        start, answer, failure = time.perf_counter(), None, ""
        try:
            answer = self._stub.AddEvents(self._messages.AddEventsRequest(events=[event]), **self._more)
        except self._error as error:
            failure = f"status {error.code().name}"
        if counted:
            self._record("AddEvents", start, answer, failure)
        return not failure

    def _record(self, method: str, start: float, answer: Any, failure: str) -> None:
        """Fire Locust's event; failure: "" for a success."""
        from locust.exception import CatchResponseError

        self._request_event.fire(
            request_type="grpc",
            name=f"{SERVICE}/{method}",
            response_time=_since(start),
            response_length=answer.ByteSize() if answer is not None else 0,
            response=answer,
            context={},
            exception=CatchResponseError(failure) if failure else None,
        )

    def _id(self, value: Id) -> Any:
        return self._messages.Id(number=value) if isinstance(value, int) else self._messages.Id(text=value)
