"""The two doors of a deployment as a load test knocks on them: one slate, and what became of the request."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from loadtests.tally import Outcome

Id = int | str


EXHAUSTED = 8
"""gRPC's RESOURCE_EXHAUSTED, as a number."""


class Reply(NamedTuple):
    """What became of one request; items: of the slate, word: why it failed."""

    outcome: Outcome
    items: list[Id]
    word: str = ""


def judged(items: list[Id], degraded: bool, k: int) -> Reply:
    """The content is checked: as many distinct items as were asked for."""
    if len(set(items)) != k or len(items) != k:
        return Reply(Outcome.FAILED, items, f"{len(set(items))} distinct items, not {k}")
    return Reply(Outcome.DEGRADED if degraded else Outcome.WHOLE, items)


def judged_http(status: int, content: bytes, k: int) -> Reply:
    """What an answer of POST /recommend comes to; status: 0 where none came."""
    if status == 429:
        return Reply(Outcome.REJECTED, [])
    if status != 200:
        return Reply(Outcome.FAILED, [], f"status {status}" if status else "no answer")
    try:
        body = json.loads(content)
        return judged([item["item_id"] for item in body["items"]], bool(body["degraded"]), k)
    except (ValueError, KeyError, TypeError):
        return Reply(Outcome.FAILED, [], "no slate in the body")


def judged_rpc(status: int, content: bytes, k: int) -> Reply:
    """What an answer of Recommend comes to; status: gRPC's number."""
    from google.protobuf.message import DecodeError

    from service.grpc.tandem.v1 import recommender_pb2 as messages

    if status == EXHAUSTED:
        return Reply(Outcome.REJECTED, [])
    if status:
        return Reply(Outcome.FAILED, [], f"status {status}")
    try:
        return judged_message(messages.RecommendResponse.FromString(content), k)
    except (DecodeError, IndexError):
        return Reply(Outcome.FAILED, [], "no slate in the message")


def judged_message(answer: Any, k: int) -> Reply:
    """What a RecommendResponse with one slate comes to."""
    slate = answer.slates[0]
    items = [getattr(item.item_id, item.item_id.WhichOneof("kind")) for item in slate.items]
    return judged(items, bool(slate.degraded), k)


def _told(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


class HttpDoor:
    """POST /recommend through a Locust session, whose statistics it feeds."""

    def __init__(self, session: Any, deadline_ms: int, key: str = "") -> None:
        """session: FastHttpSession. deadline_ms: 0 for the deployment's own. key: "" where it wants none."""
        self._session = session
        self._key = _told(key)
        self._headers = {"Content-Type": "application/json", **self._key}
        if deadline_ms:
            self._headers["x-deadline-ms"] = str(deadline_ms)

    def recommend(self, user: Id, k: int) -> Reply:
        """One slate."""
        body = json.dumps({"user_id": user, "k": k, "log_impression": False})
        with self._session.post("/recommend", data=body, headers=self._headers, catch_response=True) as answer:
            reply = judged_http(answer.status_code, answer.content, k)
            if reply.outcome == Outcome.FAILED:
                answer.failure(reply.word)
            else:
                answer.success()
        return reply

    def click(self, user: Id, item: Id) -> bool:
        """Tell of a click; whether it was taken."""
        body = {"events": [{"user_id": user, "item_id": item}]}
        answer = self._session.post("/events", json=body, headers=self._key)
        return bool(answer.status_code == 200)


class GrpcDoor:
    """tandem.v1.Recommender/Recommend."""

    def __init__(self, address: str, deadline_ms: int, key: str = "") -> None:
        """address: host:port, or an URL with them. key: "" where the deployment wants none."""
        import grpc
        import grpc.experimental.gevent

        from service.grpc.tandem.v1 import recommender_pb2 as messages
        from service.grpc.tandem.v1 import recommender_pb2_grpc as stubs

        grpc.experimental.gevent.init_gevent()
        self._messages, self._error, self._codes = messages, grpc.RpcError, grpc.StatusCode
        self._stub = stubs.RecommenderStub(grpc.insecure_channel(urlsplit(address).netloc or address))
        self._more = {"timeout": deadline_ms / 1000 if deadline_ms else 10.0, "metadata": tuple(_told(key).items())}

    def recommend(self, user: Id, k: int) -> Reply:
        """One slate."""
        request = self._messages.RecommendRequest(user_id=self._id(user), k=k, log_impression=False)
        try:
            return judged_message(self._stub.Recommend(request, **self._more), k)
        except self._error as error:
            if error.code() == self._codes.RESOURCE_EXHAUSTED:
                return Reply(Outcome.REJECTED, [])
            return Reply(Outcome.FAILED, [], f"status {error.code().name}")

    def click(self, user: Id, item: Id) -> bool:
        """Tell of a click; whether it was taken."""
        event = self._messages.Event(user_id=self._id(user), item_id=self._id(item))
        try:
            self._stub.AddEvents(self._messages.AddEventsRequest(events=[event]), **self._more)
        except self._error:
            return False
        return True

    def _id(self, told: Id) -> Any:
        return self._messages.Id(number=told) if isinstance(told, int) else self._messages.Id(text=told)
